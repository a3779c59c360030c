"""Ground truths: read in the forms that annotation tools write, laid on their picture, and checked while that is done.

::

    described   what a data set says of a ground truth, as plain data
    annotated   the files of annotation tools: LabelMe, Pascal VOC, COCO, YOLO, and boxes of our own
    picture     what a ground truth is laid on
    placing     which pixels its numbers mean
    laying      the mask, the pixels to leave out, and what was found: a :class:`~napari_vlexplain.truth.note.Note` each

Nothing here knows a model or Qt.
"""
