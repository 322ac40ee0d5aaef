"""Names of earlier versions, each with its present one: one line on the command line instead of `unknown`."""

CHOICES = {
    "policy=learned": "policy=learned_write_gate",
    "policy=learned_gate": "policy=learned_read_gate",
    "policy=him2sam_delayed": "method=him2sam_published_lasot_b+",
    "policy=learned_gate_hard": "policy=learned_read_gate_hard",
    "policy=score_gate": "policy=expected_iou",
    "motion=learned": "motion=learned_judge",
    "learner=keep": "learner=write_gate",
    "learner=choice": "learner=judge",
}
OPTIONS = {
    "bests": "best_of",
    "curves": "train_logger",
    "cut": "sampler",
    "drifted": "identity_switch",
    "lost": "occlusion",
    "roll_in": "burn_in",
    "rule": "distractor_test",
}
"""By the last part of their name."""
COLUMNS = {"milliseconds": "ms"}
"""Of tables: `columns=[...]`."""
COMMANDS = {"examine": "diagnose"}
TARGETS = {
    "framework.data.any_folder": "framework.data.readers.folder",
    "framework.data.boxes": "framework.data.readers.boxes",
    "framework.data.procedural.Mixed": "framework.data.procedural.dataset.Mixed",
    "framework.data.procedural.Procedural": "framework.data.procedural.dataset.Procedural",
    "framework.data.vos": "framework.data.readers.vos",
    "framework.data.vot": "framework.data.readers.vot",
    "framework.learning.choice.ChoiceLearning": "framework.learning.supervised.training.EstimatorTraining",
    "framework.learning.choice.ChoiceRounds": "framework.learning.supervised.rounds.TrackedRounds",
    "framework.learning.clip_data": "framework.learning.pretraining.datamodule",
    "framework.learning.clips": "framework.learning.pretraining.clips",
    "framework.learning.console": "framework.learning.progress",
    "framework.learning.excerpts.Cut": "framework.learning.read_gate.clips.ClipSampler",
    "framework.learning.excerpts.VideoExcerpts": "framework.learning.read_gate.clips.VideoClips",
    "framework.learning.keep.KeepLearning": "framework.learning.supervised.training.EstimatorTraining",
    "framework.learning.keep.Rollouts": "framework.learning.supervised.rounds.TrackedRounds",
    "framework.learning.look_ahead": "framework.evaluation.look_ahead",
    "framework.learning.pretrain.Weights": "framework.learning.pretraining.objectives.PretrainingLossWeights",
    "framework.learning.pretrain": "framework.learning.pretraining.module",
    "framework.learning.read_gate.ReadGate": "framework.learning.read_gate.module.ReadGateTraining",
    "framework.learning.read_gate.Weights": "framework.learning.read_gate.module.ReadGateLossWeights",
    "framework.learning.recorded.Pairing": "framework.learning.supervised.records.TrackerParts",
    "framework.learning.supervised.cached.TrackerParts": "framework.learning.supervised.records.TrackerParts",
    "framework.learning.supervised.judge.JudgeRounds": "framework.learning.supervised.rounds.TrackedRounds",
    "framework.learning.supervised.judge.JudgeTraining": "framework.learning.supervised.training.EstimatorTraining",
    "framework.learning.supervised.write_gate.WriteGateRounds": "framework.learning.supervised.rounds.TrackedRounds",
    "framework.learning.supervised.write_gate.WriteGateTraining": (
        "framework.learning.supervised.training.EstimatorTraining"
    ),
    "framework.learning.weights.Export": "framework.learning.pretraining.export.WeightsExport",
    "framework.networks.micro.Size": "framework.networks.micro.MicroSize",
    "framework.ops.hypotheses": "framework.ops.features.hypotheses",
    "framework.papers": "framework.benchmarks.papers",
    "framework.protocol": "framework.evaluation.protocol",
    "framework.wandb_log": "framework.report.wandb_log",
    "motion.components.boxes": "framework.ops.boxes",
    "motion.features.hypotheses": "framework.ops.features.hypotheses",
    "motion.features.relative": "framework.ops.features.relative",
    "motion.features.target": "framework.ops.features.history",
    "motion.features.tracklets": "framework.ops.features.tracklets",
    "motion.learned.Learned": "motion.learned_judge.LearnedJudge",
    "motion.points": "motion.components.point_trackers",
    "motion.refinement": "motion.components.point_refinement",
    "policies.beam": "policies.sam2long_beam",
    "policies.distinction.BoxOverlap": "policies.components.distractor_tests.BoxTest",
    "policies.distinction.ContourDistance": "policies.components.distractor_tests.ContourTest",
    "policies.learned.Learned": "policies.learned_write_gate.LearnedWriteGate",
    "policies.learned_gate.Gate": "policies.components.read_gate.ReadGate",
    "policies.learned_gate.LearnedGate": "policies.learned_read_gate.LearnedReadGate",
    "policies.learned_gate.load": "policies.components.read_gate.load",
    "policies.score_gate.ScoreGate": "policies.expected_iou.ExpectedIou",
}
"""Modules, and members that have another name in their new module."""


def renamed_choice(group: str, choice: str) -> str | None:
    """One line for a choice of a group, such as policy=learned, that has another name now; None for all others."""
    return _line(f"{group}={choice}", CHOICES.get(f"{group}={choice}"))


def renamed_option(name: str) -> str | None:
    """One line for an option, with the groups before it, that has another name now."""
    above, dot, last = name.rpartition(".")
    return _line(name, f"{above}{dot}{OPTIONS[last]}" if last in OPTIONS else None)


def renamed_column(name: str) -> str | None:
    """One line for a column of a table that has another name now."""
    return _line(f"columns=[{name}]", f"columns=[{COLUMNS[name]}]" if name in COLUMNS else None)


def renamed_command(name: str) -> str | None:
    """One line for a command that has another name now."""
    return _line(f"engram {name}", f"engram {COMMANDS[name]}" if name in COMMANDS else None)


def renamed_target(target: str) -> str | None:
    """One line for a `_target_` whose module or member has another name now."""
    module, _, member = target.rpartition(".")
    present = TARGETS.get(target) or (f"{TARGETS[module]}.{member}" if module in TARGETS else None)
    return _line(f"_target_={target}", present and f"_target_={present}")


def _line(name: str, present: str | None) -> str | None:
    return f"{name} is called {present} now" if present else None
