"""What the columns of `engram bench` and `engram verify` are: heading -> definition, empty where it needs none."""

COMPONENTS = {
    "component": "",
    "parameters": "",
    "GFLOP": "billions of floating-point operations",
    "ms": "of one run, the fastest of several",
    "share": "of the sum",
    "of peak": "share of the speed of a large matrix product on this machine",
}
LOCKSTEP = {
    "variants": "the first so many",
    "together": "milliseconds per frame of all of them in lockstep",
    "alone": "the sum of their separate runs",
    "speedup": "alone / together",
    "predictions": "one per object, frame and variant",
    "computed": "those of them that do not read the same memories as another",
    "MiB held": "by the states of all of them at the end",
}
BESIDE_UPSTREAM = {
    "variants": "the first so many",
    "together": "milliseconds per frame of all of them in lockstep",
    "sam2": "of as many runs of sam2's own predictor",
    "speedup": "sam2 / together",
}
AGREEMENT = dict.fromkeys(("prompts", "logits differ by", "least IoU", "decisions", "of"), "")
FINGERPRINT = dict.fromkeys(("compared", "found"), "")
IN_THE_LOOP = {"variant": "", "ms/frame": "of policy and motion model, between the network's work"}
DECISION = {
    "variant": "",
    "target": "share of the frame that it covers",
    "calm": "the hypotheses agree",
    "distractor": "another one holds a second object",
    "specks": "others hold a few pixels far away",
    "scene": "others hold most of the frame",
    "tie": "others are a disc around it, no point of which is farthest",
}
"""Of policy and motion model for one object, without the network."""
