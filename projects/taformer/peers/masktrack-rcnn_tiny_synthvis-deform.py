# mmdet's MaskTrack R-CNN, made as small as the small TAFormer. Its tracker is found in
# the root of a clone: PYTHONPATH=. python tools/train.py ...
_base_ = [
    "../../../configs/_base_/datasets/synthvis_deform.py",
    "../../../configs/_base_/schedules/schedule_cpu_1e.py",
    "../../../configs/_base_/default_runtime.py",
]

custom_imports = dict(
    imports=["mmtaformer", "projects.taformer.peers.tracker"],
    allow_failed_imports=False,
)

num_classes = 6
channels = 64
# Boxes and embeddings see 7 x 7 bins of a region, masks 14 x 14.
roi_extractor = dict(
    type="SingleRoIExtractor",
    roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
    out_channels=channels,
    featmap_strides=[4, 8, 16, 32],
)
assigner = dict(
    type="MaxIoUAssigner",
    pos_iou_thr=0.5,
    neg_iou_thr=0.5,
    min_pos_iou=0.5,
    match_low_quality=True,
    ignore_iof_thr=-1,
)
proposals = dict(
    nms_pre=200,
    max_per_img=100,
    nms=dict(type="nms", iou_threshold=0.7),
    min_bbox_size=0,
)

model = dict(
    type="MaskTrackRCNN",
    data_preprocessor=dict(
        type="ClipDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    detector=dict(
        type="MaskRCNN",
        backbone=dict(
            type="ResNet", depth=18, base_channels=16, norm_eval=False, style="pytorch"
        ),
        neck=dict(
            type="FPN", in_channels=[16, 32, 64, 128], out_channels=channels, num_outs=5
        ),
        rpn_head=dict(
            type="RPNHead",
            in_channels=channels,
            feat_channels=channels,
            # Half of mmdet's scale: the objects are 25 to 40 pixels large.
            anchor_generator=dict(
                type="AnchorGenerator",
                scales=[4],
                ratios=[0.5, 1.0, 2.0],
                strides=[4, 8, 16, 32, 64],
            ),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True),
            loss_bbox=dict(type="L1Loss"),
        ),
        roi_head=dict(
            type="StandardRoIHead",
            bbox_roi_extractor=roi_extractor,
            bbox_head=dict(
                type="Shared2FCBBoxHead",
                in_channels=channels,
                fc_out_channels=64,
                roi_feat_size=7,
                num_classes=num_classes,
                bbox_coder=dict(
                    type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]
                ),
                reg_class_agnostic=False,
                loss_cls=dict(type="CrossEntropyLoss"),
                loss_bbox=dict(type="L1Loss"),
            ),
            mask_roi_extractor=dict(
                roi_extractor,
                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            ),
            mask_head=dict(
                type="FCNMaskHead",
                num_convs=4,
                in_channels=channels,
                conv_out_channels=channels,
                num_classes=num_classes,
                loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
            ),
        ),
        train_cfg=dict(
            rpn=dict(
                assigner=dict(
                    type="MaxIoUAssigner",
                    pos_iou_thr=0.7,
                    neg_iou_thr=0.3,
                    min_pos_iou=0.3,
                    ignore_iof_thr=-1,
                ),
                sampler=dict(
                    type="RandomSampler",
                    num=64,
                    pos_fraction=0.5,
                    neg_pos_ub=-1,
                    add_gt_as_proposals=False,
                ),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
            rpn_proposal=proposals,
            rcnn=dict(
                assigner=assigner,
                sampler=dict(type="RandomSampler", num=64, pos_fraction=0.25),
                mask_size=28,
                pos_weight=-1,
                debug=False,
            ),
        ),
        test_cfg=dict(
            rpn=proposals,
            rcnn=dict(
                score_thr=0.01,
                nms=dict(type="nms", iou_threshold=0.5),
                max_per_img=20,
                mask_thr_binary=0.5,
            ),
        ),
    ),
    track_head=dict(
        type="RoITrackHead",
        roi_extractor=roi_extractor,
        embed_head=dict(
            type="RoIEmbedHead",
            num_fcs=2,
            roi_feat_size=7,
            in_channels=channels,
            fc_out_channels=64,
        ),
        train_cfg=dict(
            assigner=assigner,
            sampler=dict(
                type="RandomSampler",
                num=64,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            ),
            pos_weight=-1,
            debug=False,
        ),
    ),
    tracker=dict(
        type="OneToOneMaskTrackRCNNTracker",
        match_weights=dict(det_score=1.0, iou=2.0, det_label=10.0),
        num_frames_retain=20,
    ),
)

# A key frame and one other frame of the video.
train_pipeline = [
    dict(
        type="UniformRefFrameSample",
        num_ref_imgs=1,
        frame_range=12,
        filter_key_img=True,
    ),
    *_base_.train_pipeline[1:],
]
# As many frames a step as the others have.
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))
