"""A network of transformers, from the folder that it was saved in."""

import transformers

import equibench as eb

config = transformers.SegformerConfig(
    num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16],
    patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
    decoder_hidden_size=16, num_labels=3,
)  # fmt: skip
transformers.SegformerForSemanticSegmentation(config).save_pretrained("nets/segformer")

segmenter = "hf:nets/segformer,in.channels=3,out.resize=bilinear,out.labels=argmax"
rows = eb.evaluate(segmenter, "noise,n=1,size=64,metrics=agreement", shifts="random:n=4,max=8").rows
print(f"pixels that keep their label, at worst: {rows['eq_agreement'].min():.1%}")
