from .block_run import BlockRun as BlockRun
from .blocks import plan_blocks as plan_blocks
from .cluster import connect_cluster as connect_cluster
from .matching import compare_labels as compare_labels
