"""The look of the apps: one theme with the system's own fonts (none is fetched) and a little CSS."""

from __future__ import annotations

import gradio as gr


def theme() -> gr.themes.Base:
    """The apps' theme."""
    return gr.themes.Soft(
        primary_hue="teal", secondary_hue="teal", neutral_hue="stone", radius_size="md", spacing_size="sm",
        font=["system-ui", "-apple-system", "Segoe UI", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
    ).set(
        block_border_width="1px", block_shadow="none", button_primary_shadow="none", button_secondary_shadow="none",
        block_title_background_fill="none", block_title_text_color="*body_text_color", block_title_padding="0",
        block_title_text_weight="600", block_label_background_fill="*background_fill_primary",
        block_label_text_color="*body_text_color_subdued", input_border_width="1px", input_shadow="none",
        input_border_color="*border_color_primary", checkbox_border_width="1px", checkbox_border_color="*neutral_400",
        button_secondary_background_fill="*neutral_100", button_secondary_background_fill_dark="*neutral_700",
        button_border_width="1px", button_secondary_border_color="*border_color_primary",
        button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700",
    )


CSS = """
.gradio-container { width: 100%; min-width: 0 !important; max-width: 1180px !important; margin: 0 auto !important; }
.gradio-container main, .gradio-container .tabs { min-width: 0 !important; }
.lk-header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem 1rem; padding: .2rem .1rem; }
.lk-header h1 { font-size: 1.55rem; font-weight: 700; margin: 0; letter-spacing: -.01em; }
.lk-header p { margin: 0; color: var(--body-text-color-subdued); }
.lk-ribbon { margin: .4rem 0 .2rem; padding: .35rem .75rem; border-radius: 6px; font-size: .85rem;
  border-left: 4px solid #d98b14; background: color-mix(in srgb, #d98b14 13%, transparent); }
.lk-grid { display: grid !important; gap: 1rem 1.4rem; grid-template-columns: minmax(0, 6fr) minmax(0, 5fr);
  grid-template-rows: auto 1fr; grid-template-areas: "ask out" "knobs out"; }
.lk-ask { grid-area: ask; } .lk-out { grid-area: out; } .lk-knobs { grid-area: knobs; }
@media (max-width: 760px) {
  .lk-grid { grid-template-columns: minmax(0, 1fr); grid-template-rows: auto; grid-template-areas: "ask" "out" "knobs"; }
}
.lk-hollow:not(:has([class^="lk-"])) { display: none; }
.lk-inside { display: flex; gap: .6rem; max-width: 402px; margin: 0 auto; }
.lk-inside figure { flex: 1; min-width: 0; margin: 0; }
.lk-inside img { width: 100%; display: block; border-radius: 4px; image-rendering: pixelated; }
.lk-inside figcaption { font-size: .75rem; margin-top: .2rem; color: var(--body-text-color-subdued); }
.lk-picture { max-width: 402px; margin: 0 auto; }
.lk-picture .image-frame img, .lk-picture img { width: 100% !important; height: 100% !important; object-fit: contain; }
.lk-codes img { width: 100% !important; height: 100% !important; object-fit: contain; cursor: crosshair; }
.lk-codes .icon-button-wrapper { display: none; }
.lk-board { display: grid; gap: 2px; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); padding: 2px;
  max-height: 300px; overflow-y: auto; }
.lk-board button { aspect-ratio: 1; padding: 0; border-radius: 2px; cursor: pointer; background-image: var(--sheet);
  background-size: calc(100% * var(--columns)) calc(100% * var(--rows)); image-rendering: pixelated; }
.lk-board button:hover, .lk-board button:focus-visible { outline: 2px solid var(--primary-600); }
.lk-board button.there { outline: 2px solid #c8146e; }
.lk-pad { max-width: 512px; margin: 0 auto; width: 100%; }
.lk-pad-title { font-weight: 600; margin-bottom: .3rem; }
.lk-pad canvas { display: block; width: 100%; background: white; border-radius: 6px; cursor: crosshair;
  touch-action: none; border: 1px solid var(--border-color-primary); box-sizing: border-box; }
.lk-pad-paper { position: relative; }
.lk-pad:not([data-over=""]) .lk-pad-paper { background: white center / 100% 100% no-repeat; border-radius: 6px; }
.lk-pad:not([data-over=""]) canvas { background: transparent; mix-blend-mode: multiply; opacity: .7; }
.lk-pad-hint { position: absolute; inset: 0; display: grid; place-items: center; pointer-events: none; color: #a8a29e; }
.lk-pad-hint[hidden] { display: none; }
.lk-pad canvas:focus-visible { outline: 2px solid var(--primary-600); }
.lk-pad-tools { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin-top: .45rem; }
.lk-pad-tools button { flex: 1 1 auto; min-height: 40px; padding: 0 .7rem; font-size: .9rem; border-radius: 6px;
  border: 1px solid var(--border-color-primary); background: var(--button-secondary-background-fill);
  color: var(--body-text-color); cursor: pointer; }
.lk-pad-tools button[aria-pressed=true] { border-color: var(--primary-600); color: var(--primary-700);
  box-shadow: inset 0 0 0 1px var(--primary-600); }
.lk-pad-tools button:disabled { opacity: .45; cursor: default; }
.lk-pad-tools label { flex: 1 1 9rem; display: flex; align-items: center; gap: .5rem; min-height: 40px; font-size: .9rem; }
.lk-pad-tools input[type=range] { flex: 1; min-width: 5rem; accent-color: var(--primary-600); }
.lk-pad-said { font-size: .85rem; color: #dc2626; overflow-wrap: anywhere; }
.lk-pictures { max-width: 480px; margin: 0 auto; width: 100%; }
.lk-pictures .caption-label { font-size: .68rem; padding: 0 .35rem; max-width: 100%; }
.lk-told { font-size: .85rem; line-height: 1.5; padding: .1rem; }
.lk-told p { margin: 0 0 .35rem; }
.lk-told small { color: var(--body-text-color-subdued); }
.lk-share { display: block; height: 8px; border-radius: 4px; overflow: hidden; margin: .1rem 0;
  background: repeating-conic-gradient(var(--neutral-400) 0 25%, var(--neutral-200) 0 50%) 0 0 / 4px 4px; }
.lk-share i { display: block; height: 100%; background: var(--primary-500); }
.lk-strip { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fill, minmax(64px, 1fr)); margin: .25rem 0 .4rem; }
.lk-strip figure { margin: 0; min-width: 0; }
.lk-strip img { width: 100%; display: block; border-radius: 4px; image-rendering: pixelated;
  border: 1px solid var(--border-color-primary); box-sizing: border-box; }
.lk-strip .there img { border: 2px solid #c8146e; }
.lk-strip figcaption { font-size: .72rem; line-height: 1.3; margin-top: .15rem; color: var(--body-text-color-subdued); }
.lk-pixels img { image-rendering: pixelated; }
.lk-progress { min-height: 2.2rem; padding: 0 .1rem; }
.lk-bar { height: 6px; border-radius: 3px; overflow: hidden; background: var(--border-color-primary); }
.lk-bar > div { height: 100%; background: var(--primary-500); transition: width .2s; }
.lk-progress.ended .lk-bar > div { background: #d98b14; }
.lk-line { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin-top: .35rem;
  font-size: .85rem; color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.lk-progress.refused { min-height: 0; padding: .3rem .7rem; border-radius: 6px;
  border-left: 4px solid #dc2626; background: color-mix(in srgb, #dc2626 9%, transparent); }
.lk-progress.refused .lk-bar { display: none; }
.lk-progress.refused .lk-line { margin: 0; white-space: pre-line; overflow-wrap: anywhere; color: var(--body-text-color); }
.lk-curve { font-size: .85rem; padding: 0 .1rem; }
.lk-curve svg { width: 100%; height: 68px; display: block; margin-top: .2rem; }
.lk-curve polyline { fill: none; stroke: var(--primary-600); stroke-width: 2; vector-effect: non-scaling-stroke; }
.lk-curve polygon { fill: var(--primary-500); opacity: .12; }
.lk-notice { margin: .15rem 0; padding: .3rem .7rem; font-size: .85rem; border-radius: 6px;
  background: color-mix(in srgb, #d98b14 13%, transparent); }
.lk-verdict { font-size: .9rem; padding: .1rem; line-height: 1.6; }
.lk-verdict small { color: var(--body-text-color-subdued); }
.lk-chip { display: inline-block; margin: .1rem .35rem .1rem 0; padding: 0 .6rem; border-radius: 1rem; font-size: .8rem; }
.lk-chip.yes { background: color-mix(in srgb, #16a34a 18%, transparent); }
.lk-chip.no { background: color-mix(in srgb, #dc2626 16%, transparent); }
.lk-note { font-size: .85rem; color: var(--body-text-color-subdued); }
.lk-part { font-size: 1.15rem; font-weight: 700; margin: .6rem 0 0; }
.lk-phrase { display: grid !important; grid-template-columns: minmax(0, 4fr) minmax(0, 5fr) minmax(0, 9fr); gap: .3rem 1rem;
  align-items: start; padding: .5rem .1rem 0; border-top: 1px solid var(--border-color-primary); }
.lk-phrase > * { min-width: 0 !important; }
.lk-phrase > :last-child { align-self: center; }
.lk-phrase .html-container { padding: .3rem 0 0 !important; }
.lk-phrase .form { border: none; background: none; }
.lk-phrase label span { font-weight: 600; }
@media (max-width: 760px) {
  .lk-phrase { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .lk-phrase > :last-child { grid-column: 1 / -1; }
}
.lk-cards { display: grid; gap: .9rem .8rem; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); }
.lk-cards figure { margin: 0; }
.lk-cards img { width: 100%; display: block; border-radius: 6px; }
.lk-cards figcaption { margin-top: .3rem; font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere; }
.lk-cards figcaption > div + div, .lk-terms dd { color: var(--body-text-color-subdued); }
.lk-terms { margin: 0; padding: .8rem .2rem; font-size: .95rem; line-height: 1.5; }
.lk-terms dt { font-weight: 600; margin-top: .5rem; }
.lk-terms dd { margin: 0; }
.lk-note pre { margin: .4rem 0 0; padding: .5rem .7rem; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  color: var(--body-text-color); background: color-mix(in srgb, var(--body-text-color) 7%, transparent); }
.lk-why { font-size: .85rem; line-height: 1.45; }
.lk-why small, .lk-why q { color: var(--body-text-color-subdued); }
.lk-places { display: flex; flex-wrap: wrap; gap: .35rem .45rem; align-items: center; font-size: .85rem;
  padding: .25rem .1rem; }
.lk-places > span { color: var(--body-text-color-subdued); }
.lk-places button { font-size: .85rem; font-weight: 500; line-height: 1.4; padding: .2rem .75rem; border-radius: 1rem;
  border: 1px solid var(--border-color-primary); cursor: pointer;
  background: var(--button-secondary-background-fill); color: var(--body-text-color); }
.lk-places button:hover, .lk-places button:focus-visible { border-color: var(--primary-600); color: var(--primary-700); }
.lk-quiet { border: none !important; background: none !important; box-shadow: none !important; padding: 0 !important; }
"""
