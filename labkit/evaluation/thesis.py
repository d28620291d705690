"""What the sketch thesis says of its data, its method and its hyper-parameters, each beside what is the case.

    statements()          a row a statement that is wrong or unclear: what the thesis says, what is the case, where that is from
    hyper_parameters()    a row for each of its eight: whether the pipeline that it names has it, whose it is, what does it here

Which parameters diffusers' pipeline has is read from its signature; which guided-diffusion has is from its `script_util.py`.
What the thesis found, as opposed to what it says, is measured: see `labkit.evaluation.sketch_claims`.
"""

from __future__ import annotations

import inspect

import pandas as pd
from diffusers import StableDiffusionImg2ImgPipeline

# Of openai/guided-diffusion, `model_and_diffusion_defaults()`: what its command lines take.
GUIDED_DIFFUSION = frozenset(
    "image_size num_channels num_res_blocks num_heads num_heads_upsample num_head_channels attention_resolutions channel_mult "
    "dropout class_cond use_checkpoint use_scale_shift_norm resblock_updown use_fp16 use_new_attention_order learn_sigma "
    "diffusion_steps noise_schedule timestep_respacing use_kl predict_xstart rescale_timesteps rescale_learned_sigmas".split())

# name → the thesis's value, what does it in diffusers, and a remark.
_EIGHT = {
    "model_name_or_path": ("not given", "from_pretrained(pretrained_model_name_or_path)",
                           "a name, not a hyper-parameter: the argument that is nearest is called otherwise"),
    "image_size": ("(768, 512)", "the size of the picture that is handed in",
                   "one number in guided-diffusion, whose pictures are square; img2img takes the picture's own size"),
    "diffusion_steps": ("1000", "scheduler.config.num_train_timesteps",
                        "steps of the chain that the model was trained on: to change it one trains anew"),
    "timestep_respacing": ("100", "num_inference_steps; of these strength × 100 are run",
                           "how many of the 1000 are used in sampling"),
    "start_scale": ("0", "nothing", "in neither; if a scale of guidance is meant, 0 means without the prompt"),
    "num_resolutions": ("4", "the length of unet.config.block_out_channels",
                        "in neither; levels of a U-Net are a property of its weights, and Stable Diffusion's has four"),
    "rescale_timesteps": ("True", "nothing", "numbers the times 0 … 1000 for the network; not “between resolutions”"),
    "use_fp16": ("True", "from_pretrained(torch_dtype=torch.float16)", "an affair of memory and speed"),
}
OURS = {"model_name_or_path": "Lab(stable_diffusion=…)", "image_size": "frame.width, frame.height", "diffusion_steps": "–",
        "timestep_respacing": "steps", "start_scale": "–", "num_resolutions": "–", "rescale_timesteps": "–",
        "use_fp16": "Lab(precision=…), bf16"}
MISSING = ("strength", "guidance_scale")  # that its evaluation varies and its list of hyper-parameters does not name


def hyper_parameters() -> pd.DataFrame:
    """The thesis's eight hyper-parameters (index): its `value`; whether `StableDiffusionImg2ImgPipeline` takes it (`img2img`),
    in its call or in `from_pretrained`; whether `guided-diffusion` does; what it is `in diffusers` and `here`; a `remark`. Its
    evaluation varies strength and guidance scale, which the list lacks: they are the last two rows."""
    takes = set(inspect.signature(StableDiffusionImg2ImgPipeline.__call__).parameters)
    takes |= set(inspect.signature(StableDiffusionImg2ImgPipeline.from_pretrained).parameters)
    rows = {name: {"value": value, "in diffusers": theirs, "here": OURS[name], "remark": remark}
            for name, (value, theirs, remark) in _EIGHT.items()}
    rows |= {name: {"value": "varied, not given", "in diffusers": name, "here": here, "remark": "not in the thesis's list"}
             for name, here in zip(MISSING, ("strength", "guidance"), strict=True)}
    table = pd.DataFrame(rows).T
    table.insert(1, "img2img", [name in takes for name in rows])
    table.insert(2, "guided-diffusion", [name in GUIDED_DIFFUSION for name in rows])
    return table.rename_axis("hyper-parameter")


_STATEMENTS = (
    ("data", "LAION-5B is a dataset of over 5 million hand-drawn sketches, each with a corresponding image.",
     "LAION-5B is 5.85 billion pairs of a picture's address and its alternative text, found on web pages and kept where CLIP "
     "finds them alike. It is no set of sketches and has none paired with images.",
     "Schuhmann et al. 2022, arXiv:2210.08402"),
    ("data", "ImageNet-Sketch contains over 50,000 pairs of sketches and corresponding photographs.",
     "It is 50,000 drawings, 50 for each of ImageNet's 1000 classes, some of them flipped or turned copies. It shares the "
     "classes with ImageNet's photographs, not the things that are shown: no drawing has a photograph of its own.",
     "Wang et al. 2019, arXiv:1905.13549"),
    ("data", "The sketches of ImageNet-Sketch were made by human annotators with the game Quick, Draw!",
     "They were found by searching the web for “sketch of …” among black-and-white pictures, and sorted by hand. Quick, Draw! "
     "is another set: 50 million drawings of 345 things, each made from memory in 20 seconds.",
     "Wang et al. 2019, arXiv:1905.13549; Ha & Eck 2017, arXiv:1704.03477"),
    ("method", "Strength controls the amount of smoothing; a higher one gives smoother and more realistic images.",
     "Strength is how far the picture is noised before it is denoised: strength × steps are run, and of the picture √ᾱ is left "
     "at the first of them. Nothing is smoothed; what is not left is drawn anew.",
     "Meng et al. 2021, arXiv:2108.01073; `StrengthShown`"),
    ("method", "A high guidance scale introduces too much noise or information into the image.",
     "Guidance adds no noise: it multiplies the difference between the predictions with and without the prompt. Where it is "
     "too high, colours and contrast are driven beyond what the autoencoder knows.",
     "Ho & Salimans 2022, arXiv:2207.12598"),
    ("method", "Stable Diffusion is popular for its ability to handle heavy-tailed noise.",
     "Its noise is Gaussian, in training and in sampling. It is a model of latents that makes pictures, not a denoiser of "
     "noisy photographs.", "Rombach et al. 2022, arXiv:2112.10752"),
    ("method", "The text is given by concatenating its representation to the image input, or by cross-attention.",
     "Stable Diffusion gives it by cross-attention alone. What is concatenated in its in-painting variant is the mask and the "
     "masked picture, not the text.", "Rombach et al. 2022, section 3.3"),
    ("method", "GLIDE trains its diffusion model on images of 256 × 256.",
     "Its model of text and pictures is trained at 64 × 64; a second diffusion model makes 256 × 256 of them.",
     "Nichol et al. 2021, arXiv:2112.10741"),
    ("method", "Its eight hyper-parameters are those that StableDiffusionImg2ImgPipeline takes.",
     "Not one of them is: five are command-line flags of guided-diffusion, two belong to neither, one is a name. What its "
     "evaluation varies, strength and guidance scale, is not among them.", "`hyper_parameters`"),
    ("result", "The quality of the result improves with strength, and depends on the quality of the sketch.",
     "No measure, number of sketches or table is given: it can neither be checked nor compared. Here both are measured.",
     "`labkit.evaluation.sketch_claims`"),
)  # fmt: skip


def statements() -> pd.DataFrame:
    """What the thesis says and is not so, a row each: what it is `about`, `the thesis`, `what is the case`, its `source`."""
    return pd.DataFrame(_STATEMENTS, columns=["about", "the thesis", "what is the case", "source"])
