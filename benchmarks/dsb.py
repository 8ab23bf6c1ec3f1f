"""Nuclei of the DSB 2018 stills against their masks.

    kedro run --env dsb --pipelines ingestion,preprocessing,segmentation && python benchmarks/dsb.py

Precision, recall and F1 at two IoU thresholds, matched one to one; per image, and over all nuclei.
"""

from __future__ import annotations

import adcc

if __name__ == "__main__":
    adcc.main("dsb", "dsb2018_fluo_dev", "masks/{fov}.tif", "Nucleus", __doc__)
