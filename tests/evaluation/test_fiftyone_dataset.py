from __future__ import annotations

from tests.evaluation import hand_worked
from tests.evaluation.fiftyone_case import fiftyone, shown
from spore_yolo.evaluation.fiftyone_dataset import build_dataset

def test_x():
    s=shown(hand_worked.candidates(),hand_worked.boxes(),hand_worked.images(),hand_worked.CLASSES,hand_worked.point(),("rust",))
    ds=build_dataset(fiftyone(),"x",s)
    print(ds); print(ds.first())
    for n in ds.list_saved_views(): print(n, len(ds.load_saved_view(n)))
    print(ds.info)
    print(ds.load_evaluation_results("eval_any").confusion_matrix())
    print(ds.list_evaluations())
    assert 0
