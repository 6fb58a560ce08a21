// Threads that work together.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct Threads {
    int64_t count;
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned);  // OpenMP's, with the threads of PyTorch; or null
    int (*team_size)();
};

namespace {

constexpr int64_t PIECE = 4096;    // numbers
constexpr int64_t SUM_PARTS = 16;  // whatever the number of threads, so that sums do not depend on it

// Threads that share work. Each has its own contiguous part of all work and takes it in pieces. A thread that has
// finished its part helps the others, so that a delayed thread does not hold them up.
class Team {
  public:
    Team(int64_t most, int64_t shares) : most(most), taken(most * shares) {}

    void set_size(int members) { size.store(members, std::memory_order_relaxed); }
    int join() { return joined.fetch_add(1); }  // the number of the calling thread

    // Calls work(first, last) on pieces of [0, count), for share number `number` of the step.
    template <class Do> void share(int64_t number, int me, int64_t count, int64_t piece, Do&& work) {
        const int members = size.load(std::memory_order_relaxed);
        for (int turn = 0; turn < members; turn++) {
            int64_t owner = (me + turn) % members, end = count * (owner + 1) / members, first;
            std::atomic<int64_t>& next = taken[number * most + owner].pieces;
            while ((first = count * owner / members + piece * next.fetch_add(1, std::memory_order_relaxed)) < end)
                work(first, std::min(first + piece, end));
        }
    }

    // Calls work(row) for each row.
    template <class Do> void share_rows(int64_t rows, int64_t columns, Do&& work) {
        int64_t piece = std::max<int64_t>(1, PIECE / std::max<int64_t>(1, columns));
        share(0, join(), rows, piece, [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; row++) work(row);
        });
    }

    // Calls work(row, own) for each row. `own` is the one of the `sums` (SUM_PARTS, columns) to which the row adds.
    template <class Do> void share_rows_with_sums(int64_t rows, int64_t columns, float* sums, Do&& work) {
        share(0, join(), SUM_PARTS, 1, [&](int64_t part, int64_t) {
            float* own = sums + part * columns;
            std::fill_n(own, columns, 0.0f);
            for (int64_t row = rows * part / SUM_PARTS; row < rows * (part + 1) / SUM_PARTS; row++) work(row, own);
        });
    }

    void meet() {
        int64_t round = rounds.load();
        if (arrived.fetch_add(1) == size.load(std::memory_order_relaxed) - 1) {
            arrived = 0;
            rounds.fetch_add(1);
            return;
        }
        for (int spins = 0; rounds.load(std::memory_order_acquire) == round; spins++) {
#if defined(__x86_64__)
            _mm_pause();
#endif
            if (spins > 200000) std::this_thread::yield();  // milliseconds: earlier, others would take the core
        }
    }

  private:
    struct alignas(64) Counter { std::atomic<int64_t> pieces{0}; };  // each has its own cache line
    int64_t most;
    std::atomic<int> size{1};  // every thread stores the same number
    std::vector<Counter> taken;
    alignas(64) std::atomic<int> joined{0}, arrived{0};
    alignas(64) std::atomic<int64_t> rounds{0};
};

// Runs job.run() on all threads; `job.team` is theirs.
template <class Job> void run_on(const Threads& threads, Job& job) {
    struct Call { Job& job; const Threads& threads; } call{job, threads};
    auto member = [](void* data) {
        Call& call = *static_cast<Call*>(data);
        call.job.team.set_size(call.threads.team_size());
        call.job.run();
    };
    if (threads.parallel && threads.count > 1) return threads.parallel(member, &call, unsigned(threads.count), 0);
    job.team.set_size(int(threads.count));
    std::vector<std::thread> others;
    for (int64_t i = 1; i < threads.count; i++) others.emplace_back([&] { job.run(); });
    job.run();
    for (std::thread& other : others) other.join();
}

}  // namespace
