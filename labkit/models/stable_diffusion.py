"""Stable Diffusion as its parts: an autoencoder, a U-Net that reads text, the text towers, a noise schedule.

Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv:2112.10752; SDXL (Podell et al. 2023,
arXiv:2307.01952) has two text towers and tells the U-Net the picture's size. The parts are diffusers' and transformers' own
classes, pocket or full-size; there is no pipeline: the loop over them is `labkit.methods.text_to_image`.

    x (B, 3, H, W) in [-1, 1] --encode--> z (B, C, H/f, W/f) --decode--> x         z is scaled to a variance of about one
    predict(z_t, t, said) → ε̂ or v̂ (B, C, H/f, W/f), as `scheduler.config.prediction_type` says
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.text import read_words


@dataclass(frozen=True)
class Said:
    """What the text towers say of n texts: `states` (n, T, D) of their tokens; of SDXL also `pooled` (n, P), else None."""

    states: Tensor
    pooled: Tensor | None = None

    def each(self, n: int) -> Said:
        """Every text n times, one after the other."""
        return Said(self.states.repeat_interleave(n, 0), None if self.pooled is None else self.pooled.repeat_interleave(n, 0))

    def after(self, first: Said | None) -> Said:
        """These texts behind those of `first`."""
        if first is None:
            return self
        pooled = None if self.pooled is None else torch.cat([first.pooled, self.pooled])
        return Said(torch.cat([first.states, self.states]), pooled)


class StableDiffusion(nn.Module):
    """The parts under one roof. `size` is the side of the pictures that it was trained on, `factor` the pixels of a latent's
    cell along a side, `channels` the latent's, `inputs` the U-Net's; `scheduler` is the model's own and is never stepped:
    runs make theirs of its configuration."""

    def __init__(self, vae: nn.Module, unet: nn.Module, text_encoders: list[nn.Module], tokenizers: list, scheduler,
                 silence_is_zero: bool = False, name: str = "", unknown=None):
        """`silence_is_zero`: the empty text is a vector of zeros, as in SDXL. `unknown(text)` gives the words of a text that
        the model has never seen, where somebody knows."""
        super().__init__()
        self.vae, self.unet, self.text_encoders = vae, unet, nn.ModuleList(text_encoders)
        self.tokenizers, self.scheduler, self.silence_is_zero = tokenizers, scheduler, silence_is_zero
        self.name, self.sha256, self._unknown = name, None, unknown
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.size = unet.config.sample_size * self.factor
        self.channels, self.inputs = vae.config.latent_channels, unet.config.in_channels
        self.scale = vae.config.scaling_factor
        self.large = len(tokenizers) > 1

    @property
    def device(self) -> torch.device:
        """Where the U-Net is."""
        return self.unet.device

    def notices(self, text: str) -> list[str]:
        """What a user should know about how the model reads a text: unknown words, a text that is cut."""
        text, out = read_words(text), []
        if unknown := self._unknown(text) if self._unknown and text.strip() else ():
            out.append(f"the pocket model has never seen {', '.join(repr(word) for word in unknown)}")
        length = min(t.model_max_length for t in self.tokenizers)
        if (n := len(self.tokenizers[0](text, verbose=False).input_ids)) > length:
            out.append(f"the text has {n} tokens, the model reads the first {length}")
        return out

    @torch.no_grad()
    def read(self, texts: list[str]) -> Said:
        """What the towers say of texts, all padded to the model's length, as the published pipelines do."""
        texts = [read_words(text) for text in texts]
        states, pooled = [], None
        for tokenizer, tower in zip(self.tokenizers, self.text_encoders, strict=True):
            ids = tokenizer(texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True,
                            return_tensors="pt").input_ids.to(self.device)
            if not self.large:
                states.append(tower(ids)[0])
                continue
            out = tower(ids, output_hidden_states=True)
            states.append(out.hidden_states[-2])
            pooled = out[0]  # of the last tower: a projection of its end token
        said = torch.cat(states, dim=-1)
        if self.silence_is_zero:
            speaks = torch.tensor([bool(text) for text in texts], device=said.device)
            said = torch.where(speaks[:, None, None], said, 0)
            pooled = None if pooled is None else torch.where(speaks[:, None], pooled, 0)
        return Said(said, pooled)

    def predict(self, z: Tensor, t: Tensor, said: Said, size: tuple[int, int]) -> Tensor:
        """The U-Net's raw prediction (B, C, h, w) for latents z (B, inputs, h, w), scaled as their scheduler asks, at time t.
        `said` is of B texts, `size` the picture's height and width, of which SDXL is told."""
        more = None
        if self.large:
            ids = torch.tensor([[*size, 0, 0, *size]], dtype=said.states.dtype, device=z.device)
            more = {"text_embeds": said.pooled, "time_ids": ids.repeat(len(z), 1)}
        return self.unet(z, t, encoder_hidden_states=said.states, added_cond_kwargs=more, return_dict=False)[0]

    @torch.no_grad()
    def encode(self, x: Tensor, rngs: list[torch.Generator] | None = None) -> Tensor:
        """Latents z of pictures x: drawn from the autoencoder's belief, each by its own generator of the CPU; its mean without
        generators."""
        belief = self.vae.encode(x.to(self.device)).latent_dist
        if rngs is None:
            return self.scale * belief.mode()
        noise = torch.cat([torch.randn(1, *belief.mean.shape[1:], generator=rng) for rng in rngs])
        return self.scale * (belief.mean + belief.std * noise.to(self.device))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] of latents z."""
        return self.vae.decode(z / self.scale, return_dict=False)[0].clamp(-1, 1)
