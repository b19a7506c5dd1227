"""Hashes under which recipes were published before `Recipe` had its current fields.

`Recipe.sha256` returns these hashes, so scores stay comparable with those in older records.
"""

# Hash of a recipe's current fields -> hash in the records.
PUBLISHED = {
    # eccv2024/1
    "60350f87deeaa11c0e16fb7a4af73bee8e8846b49896661167160c3050926a7c": (
        "6ffd612d245c99edf3ce6fce6dad4f047b70ac20cacba548d87fd4c84af1a272"
    ),
    # dsa/1
    "f1c8ce2a72f6310281fa4620b0e2c801f5c645fbc7f208e63c4d1f3f5c58f29f": (
        "f4389f16cc68eec5f04ca9c2a0ba6f8a858c96abb0234274b9ed2ff7bb30fa76"
    ),
    # dcbench/1
    "44c3fe5624a725c9963dcf5c002e6fcc8b70d6ee71d8b16c1e0fcc5d12e402f0": (
        "cac55fe2c7535de04e9004985ca8491628101a913d1993f7d5f5324dfacf2066"
    ),
    # ddranking-hard/1
    "1e6ad27797748dda007c025f108b96046c8565d80efe66c3137d58b3839367bf": (
        "89352636b0f6566e1130d5985b78b339d6b854e91a99b1dc85bcf302507d825a"
    ),
    # ddranking-plain/1
    "5bfdbdc90a75b0cd753445a12ea4930530c9bc4eb90d433599bc7913c9ddbd25": (
        "d3f348ce4d545bbdcd6c4ab77f1a07e539db9c049ceb9dfbca0861ed180f3ebb"
    ),
}
