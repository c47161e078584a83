"""What the model is and can do, and how to read what it says; free of torch."""

from __future__ import annotations

from backend.core.card import ModelCard, Verb

CARD = ModelCard(
    name="spatialglue",
    title="SpatialGlue (default mode: spatial axes, neutral start, several seeds)",
    version="1.0",
    citation=(
        "Long Y. et al., Deciphering spatial domains from spatial multi-omics with SpatialGlue, "
        "Nat Methods 21, 1658 (2024). Graphs and dual attention are theirs; spatial axes, neutral "
        "start, relative losses, consensus and evidence in bits are ours."
    ),
    verbs=(
        Verb(
            "integrate_modalities",
            "Domains and modality weights",
            "Join the modalities of a section into domains, and tell for every spot and domain "
            "how much each modality contributes to the call.",
            ("label:domain", "confidence:domain", "weight:*", "score:*"),
            {"clusters": None, "seeds": 5, "mode": "default", "technology": ""},
        ),
    ),
)

#: One sentence on each figure: what it is and how to read it.
HOW_TO_READ: dict[str, str] = {
    "weight": (
        "Weight: the share of the evidence for this spot's domain that comes from a modality; "
        "where nothing tells domains apart all modalities weigh the same, and what several say "
        "alike they share."
    ),
    "bits": (
        "Bits: how much a modality narrows down the domain of a spot; one bit halves the "
        "possibilities, and the bits of all modalities add up to what they know together."
    ),
    "spread": (
        "Spread: the standard deviation of the weight over seeds and starts; differences between "
        "spots that are smaller than this mean nothing, so read means of domains first."
    ),
    "attention": (
        "Attention between modalities: how the network mixes them; not a measure of importance, "
        "since its sign is arbitrary (in simulations it was right in only .31-.53 of the spots of "
        "the factor that only protein sees, where evidence was right in all)."
    ),
    "within": (
        "Attention within a modality: how much the network took from neighbours in space rather "
        "than from spots with a like profile; domains use only its mean over the section, and like "
        "attention between modalities it is no measure of importance."
    ),
    "ablation": (
        "Ablation: how far the joint embedding of a spot moves when a modality is taken away; a "
        "cross-check that should point the same way as the weight."
    ),
    "energy": (
        "Signal energy: how far a modality is from its commonest state, beyond noise; it needs no "
        "domains and no network, but follows strength rather than information."
    ),
    "confidence": (
        "Confidence: the mean probability of the spot's domain over seeds, with the partition of "
        "all seeds and starts as the starting point."
    ),
    "agreement": (
        "Agreement: the share of seeds and starts that put the spot into its domain; low where "
        "the border of a domain is a matter of chance."
    ),
    "moran": (
        "Moran's I of a domain: 1 for one compact patch, 0 for spots scattered at random; a "
        "smooth domain is not by itself a true one."
    ),
    "jaccard": (
        "Neighbours kept: the share of a spot's 50 nearest by one modality that are also its 50 "
        "nearest in the embedding; smoothing in space lowers it."
    ),
    "baselines": (
        "Baselines: the same number of domains from each modality alone, from all components side "
        "by side, from one smoothing of these, and from weighted nearest neighbours; where one is "
        "better, use it."
    ),
}

#: Said where the input holds one modality.
ONE_MODALITY = "There is one modality: these are plain spatial domains, and its weight is always 1."
