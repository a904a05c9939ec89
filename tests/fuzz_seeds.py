"""Small valid files of every kind of camera and track that is read here, to be made wrong."""

import json
from typing import Any

import numpy as np
from fuzz_target import Files


def js(value: Any) -> bytes:
    return json.dumps(value).encode()


# Cameras.

K = [[50.0, 0.0, 3.5], [0.0, 50.0, 2.5], [0.0, 0.0, 1.0]]
POSE = np.eye(4).tolist()
OPENCV = """%YAML:1.0
---
image_width: 8
image_height: 6
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 50., 0., 3.5, 0., 50., 2.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ 0.1, -0.01, 0., 0., 0. ]
"""
ROS = """image_width: 8
image_height: 6
camera_name: narrow
camera_matrix: {rows: 3, cols: 3, data: [50, 0, 3.5, 0, 50, 2.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.01, 0, 0, 0]}
"""
TOPIC = (
    "header: {stamp: 1}\nheight: 6\nwidth: 8\ndistortion_model: equidistant\n"
    "d: [0.1, 0, 0, 0]\nk: [50, 0, 3.5, 0, 50, 2.5, 0, 0, 1]\n---\n"
)
TRANSFORMS = {
    "camera_model": "OPENCV",
    "fl_x": 50,
    "fl_y": 50,
    "cx": 4,
    "cy": 3,
    "w": 8,
    "h": 6,
    "k1": 0.1,
    "k2": 0,
    "p1": 0,
    "frames": [
        {"file_path": f"images/frame_{i:05d}.png", "transform_matrix": POSE, "colmap_im_id": i} for i in range(3)
    ],
}
CAMERAS = {
    "width": 8,
    "height": 6,
    "fx": 50.0,
    "fy": 50.0,
    "cx": 3.5,
    "cy": 2.5,
    "poses": [{"frame": i, "time_s": i / 25, "camera_to_world": POSE} for i in range(3)],
}
CAMERA_EACH = {
    "poses": [
        {
            "frame": i,
            "time_s": 0.04 * i,
            "camera_to_world": POSE,
            "intrinsics": {
                "width": 8,
                "height": 6,
                "fx": 50 + i,
                "fy": 50,
                "cx": 3,
                "cy": 2,
                "distortion_model": "opencv",
                "distortion": [0.1, 0, 0, 0],
            },
        }
        for i in range(2)
    ]
}
COLMAP = {
    "cameras.txt": b"# a comment\n1 OPENCV 8 6 50 50 4 3 0.1 0 0 0\n2 PINHOLE 8 6 50 50 4 3\n",
    "images.txt": b"1 1 0 0 0 0 0 0 1 frame_0000.png\n4 3 1\n2 1 0 0 0 1 0 0 1 frame_0001.png\n4 3 1\n",
    "points3D.txt": b"1 0 0 5 255 0 0 0.5 1 0 2 0\n",
}
TUM = b"# time x y z qx qy qz qw\n0.0 0 0 0 0 0 0 1\n0.04 1 0 0 0 0 0 1\n0.08 2 0 0 0 0.1 0 1\n"
SEVEN = {
    "camera-intrinsics.txt": b"50 0 3.5\n0 50 2.5\n0 0 1\n",
    **{f"frame-{i:06d}.pose.txt": b"1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n" for i in range(2)},
}

# Tracks.

CLASSIC = {
    "metadata": {"video": "a.mp4", "fps": 25},
    "intrinsics": {"fx": 500.0, "fy": 510.0, "cx": 320.0, "cy": 240.0},
    "tracks": [
        {
            "frame": "frame_00007",
            "detected": True,
            "track_id": 1,
            "class": "dog",
            "bbox": [10, 20, 30, 60],
            "contact_2d": [20.5, 60],
        },
        {"frame": "frame_00008", "detected": False, "bbox": None, "contact_2d": None},
        {
            "frame": 9,
            "bbox": [1, 2, 3, 4],
            "extra": {"deep": [1, None, True]},
            "depth": 3.0,
            "position_3d": [1, 2, 3],
        },
    ],
    "tail": [1, 2],
}
MASKS: list[Any] = [
    [[1.0, 1.0, 6.0, 1.0, 6.0, 4.0]],
    {"size": [6, 8], "counts": [10, 5, 33]},
    {"size": [6, 8], "counts": ":5Q1"},
]
COCO = {
    "categories": [{"id": 1, "name": "pedestrian"}],
    "videos": [{"id": 1, "name": "v", "fps": 30, "width": 8, "height": 6}],
    "images": [
        {"id": 11 + i, "video_id": 1, "file_name": f"v/00000{i}.jpg", "frame_id": i, "width": 8, "height": 6}
        for i in range(3)
    ],
    "annotations": [
        {
            "id": i,
            "image_id": 11 + i,
            "category_id": 1,
            "bbox": [1.5, 2.5, 3.0, 4.0],
            "instance_id": 3,
            "iscrowd": 0,
            "segmentation": mask,
        }
        for i, mask in enumerate(MASKS)
    ],
}
RESULTS = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "track_id": i} for i in range(2)]
YOLO = [
    {
        "name": "person",
        "class": 0,
        "confidence": 0.9,
        "box": {"x1": 10.5, "y1": 20.5, "x2": 30.5, "y2": 60.5},
        "track_id": 4,
    },
]
SINK = [
    {"x_min": 1.0, "y_min": 2.0, "x_max": 3.0, "y_max": 4.0, "class_id": 0, "tracker_id": 7, "frame_number": 0}
] * 2
SINK_CSV = (
    "x_min,y_min,x_max,y_max,class_id,confidence,tracker_id,class_name,frame_index\n"
    '10.0,20.0,30.0,60.0,0,0.9,7,"person, young",0\n11.0,21.0,31.0,61.0,0,0.8,,dog,1\n'
)
MOT = b"1,3,101,201,50,80,0.9,-1,-1,-1\n2,3,103,201,50,80,0.8,-1,-1,-1\n2,-1,1,1,5,5,0.1,-1,-1,-1\n"
SEQINFO = b"[Sequence]\nname=x\nimWidth=1920\nimHeight=1080\nframeRate=14\nseqLength=2\n"

TRACK_SEEDS: tuple[Files, ...] = (
    {"t.json": js(CLASSIC)},
    {"t.json": js(COCO)},
    {"t.json": js(RESULTS)},
    {"t.json": js([YOLO, YOLO])},
    {"t.json": js(YOLO)},
    {"t.json": js(SINK)},
    {"t.jsonl": js(YOLO) + b"\n" + js(YOLO) + b"\n"},
    {"t.csv": SINK_CSV.encode(), "t.csv.vda.json": js({"columns_added": ["a"]})},
    {"t.txt": MOT, "seqinfo.ini": SEQINFO},
    {"t.txt": MOT.replace(b",", b" ")},
)
LABELS = {
    "t_1.txt": b"0 0.5 0.5 0.25 0.5 3\n2 0.5 0.5 0.5 0.5 0.875\n",
    "t_2.txt": b"0 0.5 0.5 0.25 0.5 0.75 3\n",
    "t_4.txt": b"0 0.1 0.1 0.3 0.1 0.3 0.4 5\n",
}
