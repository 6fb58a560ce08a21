"""Recommending items: a GPT learns from events which item a user wants next."""

from xinye.errors import XinyeError
from xinye.planning.column_settings import EventSettings
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.item_settings import ITEM_SETTINGS
from xinye.ranking.fitted import COUNTED
from xinye.runs.words import LOSS, Both, Figure, TaskWords
from xinye.tasks.base_task import BaseTask


class Recommend(BaseTask):
    """Learns from events, in which users used items, and from the texts of the items."""

    verb = "recommend"
    learns_from_events = True
    needs_model = False
    figures = ("loss", "ndcg_at_10")
    better = "ndcg_at_10"
    baseline_name = COUNTED
    columns = ("text_field", *EventSettings.model_fields)
    special_settings = ITEM_SETTINGS
    unused_settings = (
        *("validation", "validation_share", "fold", "augment", "control", "attention", "adapter"),
        *("mask_tokens", "crop_tokens", "shuffle_texts", "parallel"),
    )
    augmentations = ()
    words = TaskWords(
        figures=(
            Figure("ndcg_at_10", "NDCG@10", Both("NDCG@10", "NDCG@10"), 4),
            Figure("ndcg_interval", "± 95 %", reported=False, digits=4),
            Figure("hit_rate_at_10", "HR@10", Both("HR@10", "HR@10"), 4),
            Figure(
                "coverage_at_10", "coverage@10", Both("coverage@10", "覆盖率@10"), 1, percent=True
            ),
            Figure(
                "new_items_ndcg_at_10",
                "new items",
                Both("NDCG@10 of new items", "新商品 NDCG@10"),
                4,
            ),
            Figure("new_items_interval", "± 95 %", reported=False, digits=4),
            LOSS,
        ),
        decides="ndcg_at_10",
        unit="items",
        has_labels=False,
        support=Both("users", "用户数"),
        evaluated=Both(
            "On the held-out events of {count} users", "在 {count} 位用户留出的行为上评估"
        ),
        sample=Both("What it recommends after one item:", "选过一件商品之后的推荐："),
        bounds=Both(
            "It learned from these users and items; for others the figures above do not hold.",
            "它只学过这些用户和商品；换一批，上面的结果不再成立。",
        ),
        does="Recommends items to users, from what they used and from the texts of the items.",
        limit=(
            "It learned what users did, not what is good for them, and it favours what many users "
            "used. Figures on past events do not say how people react to recommendations."
        ),
        pipeline="other",
        use=Both("To recommend items:", "推荐商品："),
        command="xinye recommend {folder} --user USER",
        loads='recommender = xinye.Recommender.load("{folder}")',
        python='print(recommender.recommend(xinye.Asked(history=("…",))))',
        transformers="",
    )

    @classmethod
    def check_settings(cls, settings: FinetuneSettings) -> None:
        super().check_settings(settings)
        if settings.method != "full":
            raise XinyeError(
                f"method {settings.method} has no effect on the task recommend, which trains a "
                "new model; leave it out"
            )
        if settings.model and not settings.items:
            raise XinyeError("a model embeds the texts of the items: give their file, --items FILE")
