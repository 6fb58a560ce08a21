"""Learning which items users want next: the `Job` of a recommender."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from xinye.checkpoints.item_folders import ItemFiles
from xinye.data.batches import IGNORED
from xinye.data.sources import check_libraries
from xinye.errors import Unavailable, XinyeError
from xinye.model.gpt import GPT
from xinye.model.items import ItemGPT
from xinye.planning import recommending as rules
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.memory import choose_parallel
from xinye.planning.plan import Plan
from xinye.ranking.chunks import Chunks
from xinye.ranking.judging import judge
from xinye.ranking.split import drawn
from xinye.runs.folder import RunFolder
from xinye.tasks.recommend import Recommend
from xinye.tasks.recommend_data import ItemData, item_files, prepare_items
from xinye.tasks.recommend_folder import write_recommender
from xinye.tasks.recommend_results import MOST_CASES, results_of
from xinye.training.job import Figures, Job, LossSum

SHOWN = 3  # recommendations in a sample
JUDGED = 2000  # users who are evaluated during the run at most


class ItemJob(Job):
    """A job that trains a GPT over items."""

    settings: FinetuneSettings
    data: ItemData
    samples: Chunks  # type: ignore[assignment]
    figures, better, words = Recommend.figures, Recommend.better, Recommend.words
    lower_replaced = False
    judge_first = False

    def check(self) -> None:
        check_libraries(item_files(self.settings))

    def read(self) -> None:
        """Read the events and the items. Raises `XinyeError` if those of a resumed run have
        changed."""
        begun = self.begun
        self.data = prepare_items(self.settings, self.draft, begun.observer)
        if begun.resume and self.data.fingerprint != RunFolder(begun.folder).about().get("text"):
            raise XinyeError(
                f"{begun.folder}: its events or items have changed since the run began; start "
                "again with --overwrite"
            )

    def make_plan(self) -> Plan:
        data, settings, draft = self.data, self.settings, self.draft
        self.config = rules.shape(draft, settings, data.learned, data.texts.width)
        training, context = data.split.training, draft.values["context"]
        self.samples = samples = Chunks(training, context, settings.seed)
        rules.make_plan(draft, settings, len(samples), data.learned, self.device)
        choose_parallel(draft, settings, self.begun.group.count, fits=True)
        self.check_longer()
        self.check_shares()
        self.plan = draft.finished(settings)
        self.tokens_per_step = self.plan.batch_size * samples.mean_length
        self.tokens_per_target = samples.mean_length * len(samples) / samples.targets
        self.flops_per_token = self.config.flops_per_token(round(samples.mean_length))
        return self.plan

    def build(self) -> ItemGPT:
        plan, features = self.plan, torch.from_numpy(self.data.features[: self.data.learned])
        gpt = GPT(replace(self.config, dropout=plan.dropout))
        model = ItemGPT(gpt, features, rules.RULES.id_dropout)
        model.initialize(plan.seed)
        return self.prepared(model)

    def files(self, model: ItemGPT) -> ItemFiles:
        return ItemFiles(model, [item.id for item in self.data.items[: self.data.learned]])

    # -- training ----------------------------------------------------------------------------------

    def loss_sum(self, model: ItemGPT, compiled: bool) -> LossSum:
        return LossSum(model, model.loss, self.device)

    def texts(self, step: int) -> list[str]:
        size = self.plan.batch_size
        [batch] = self.samples.micro_batches((step - 1) * size, size, size)
        ends = [int(row.nonzero()[-1]) + 1 for row in batch.targets != IGNORED]
        rows = zip(batch.tokens.tolist(), ends, strict=True)
        return [", ".join(self.title(item) for item in row[:end]) for row, end in rows]

    def title(self, item: int) -> str:
        found = self.data.items[item]
        return found.title or found.id

    # -- evaluation --------------------------------------------------------------------------------

    def validate(self, model: ItemGPT, last: bool) -> Figures:
        """The loss and NDCG@10 of the GPT alone on the validation events."""
        cases = drawn(self.data.split.validation, MOST_CASES if last else JUDGED)
        judged = judge(model, cases, self.data.learned)
        return {"loss": float(judged.nats.mean())} | judged.figures()

    def sample(self, model: ItemGPT, step: int) -> str:
        """What the GPT recommends after one item. It is drawn by its use; a history of a user is
        nobody else's business, and the model card shows samples."""
        counts = self.data.split.training.counts()
        item = np.random.default_rng(step).choice(len(counts), p=counts / counts.sum())
        scores = model.scores([np.array([item])])[0]
        scores[item] = -torch.inf
        best = scores.argsort()[::-1][:SHOWN]
        return f"{self.title(item)} → {', '.join(self.title(int(each)) for each in best)}"

    def results(self, model: ItemGPT, before: Figures | None) -> Mapping[str, object]:
        results = results_of(model, self.data, self.begun.observer)
        self.begun.observer.stage("saving the recommender")
        try:
            write_recommender(self.begun.folder, self.data, results)
        except OSError as error:
            raise Unavailable(
                f"{self.begun.folder}: the recommender cannot be saved ({error.strerror}); mend "
                "that, then continue with --resume"
            ) from None
        return {"task": Recommend.verb, **results.figures}
