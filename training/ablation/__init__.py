"""Ablation: variants of one recipe over several seeds, with tables and figures."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.ablation.experiment import RunsFailed, run_ablation
    from training.ablation.guards import OtherRuns, bag_hashes, require_same_runs, require_same_sessions
    from training.ablation.latex import latex_sweep, latex_table
    from training.ablation.plan import Ablation, BadAblation, Run, Sweep, load_ablation, run_settings, runs_of
    from training.ablation.runner import RunTask, fit_and_evaluate, one_run, prepare_windows
    from training.ablation.simulated import Sessions, simulated_sessions
    from training.ablation.statistics import Mean, Row, mean_over_seeds, rows_of, summary
    from training.ablation.tables import write
    from training.ablation.worker_tasks import as_finished
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.ablation.experiment": ["RunsFailed", "run_ablation"],
            "training.ablation.guards": ["OtherRuns", "bag_hashes", "require_same_runs", "require_same_sessions"],
            "training.ablation.latex": ["latex_sweep", "latex_table"],
            "training.ablation.plan": [
                "Ablation",
                "BadAblation",
                "Run",
                "Sweep",
                "load_ablation",
                "run_settings",
                "runs_of",
            ],
            "training.ablation.runner": ["RunTask", "fit_and_evaluate", "one_run", "prepare_windows"],
            "training.ablation.simulated": ["Sessions", "simulated_sessions"],
            "training.ablation.statistics": ["Mean", "Row", "mean_over_seeds", "rows_of", "summary"],
            "training.ablation.tables": ["write"],
            "training.ablation.worker_tasks": ["as_finished"],
        },
    )

__all__ = [
    "Ablation",
    "BadAblation",
    "Mean",
    "OtherRuns",
    "Row",
    "Run",
    "RunTask",
    "RunsFailed",
    "Sessions",
    "Sweep",
    "as_finished",
    "bag_hashes",
    "fit_and_evaluate",
    "latex_sweep",
    "latex_table",
    "load_ablation",
    "mean_over_seeds",
    "one_run",
    "prepare_windows",
    "require_same_runs",
    "require_same_sessions",
    "rows_of",
    "run_ablation",
    "run_settings",
    "runs_of",
    "simulated_sessions",
    "summary",
    "write",
]
