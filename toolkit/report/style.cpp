#include "report/sections.h"

namespace ditq {

const std::string& page_style() {
  // Colours: reference grey, candidate blue, warnings vermilion, told apart with every kind of colour vision.
  static const std::string style = R"css(
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1d2329; --soft: #57616b; --line: #dfe1e0; --faint: #eff0ee;
  --blue: #0067a8; --band: #0067a82b; --grey: #7c8791; --green: #00684d;
  --red: #a83a00; --red-bg: #fcede4;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --ink: #e6e9eb; --soft: #a3adb5; --line: #343a40; --faint: #262b30;
    --blue: #63b3ee; --band: #63b3ee38; --grey: #8d98a2; --green: #5cc9a1;
    --red: #f59662; --red-bg: #3a2419;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: clamp(1.25rem, 4vw, 3rem) clamp(1rem, 4vw, 2.5rem); }
h1, h2, h3, p, ul, ol, dl, figure { margin: 0; }
h1 { font-size: clamp(1.6rem, 1.2rem + 1.8vw, 2.3rem); line-height: 1.2; letter-spacing: -0.015em; overflow-wrap: anywhere; text-wrap: balance; }
h2 { font-size: 1.35rem; line-height: 1.3; letter-spacing: -0.01em; margin-bottom: 0.4rem; }
h3 { font-size: 1rem; line-height: 1.4; margin: 1.5rem 0 0.5rem; }
code, pre { font-family: var(--mono); font-size: 0.88em; }
code { overflow-wrap: anywhere; }
small { color: var(--soft); font-size: 0.85em; }
.eyebrow { color: var(--soft); font-size: 0.85rem; letter-spacing: 0.04em; margin-bottom: 0.35rem; }
.subtitle { color: var(--soft); margin-top: 0.35rem; }
.lead { color: var(--soft); max-width: 46rem; margin-bottom: 1.1rem; }
.note, .missing { color: var(--soft); font-size: 0.9rem; margin-top: 0.75rem; }
section { margin-top: 3.25rem; scroll-margin-top: 1rem; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: 0.85rem; }
a { color: var(--blue); }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }

.verdict { margin-top: 1.6rem; padding: 1.1rem 1.25rem; border: 1px solid var(--line); border-left: 5px solid var(--grey); border-radius: 8px; background: var(--card); }
.verdict.passed { border-left-color: var(--green); }
.verdict.failed { border-left-color: var(--red); }
.verdict-line { font-size: 1.2rem; font-weight: 600; line-height: 1.35; }
.passed .mark, span.good { color: var(--green); }
.failed .mark, span.bad { color: var(--red); }
span.good, span.bad { font-weight: 600; white-space: nowrap; }
.verdict ul { margin: 0.5rem 0 0; padding-left: 1.3rem; }
.verdict .scroll { margin-top: 0.9rem; border: 0; }

.tiles { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: 0.75rem; margin-top: 0.75rem; }
.tile { padding: 0.85rem 1rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.tile dt { color: var(--soft); font-size: 0.85rem; }
.tile dd { margin: 0; }
.tile b { display: block; font-size: 1.5rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.tile span { color: var(--soft); font-size: 0.8rem; line-height: 1.4; display: block; }

nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin-top: 1.5rem; font-size: 0.92rem; }
nav a { text-decoration: none; padding: 0.15rem 0; }
nav a:hover { text-decoration: underline; }

.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: 0.45rem 0.8rem; text-align: left; vertical-align: top; border-top: 1px solid var(--faint); font-weight: 400; }
thead th { border-top: 0; border-bottom: 1px solid var(--line); color: var(--soft); font-size: 0.82rem; white-space: nowrap; }
thead + tbody tr:first-child > * { border-top: 0; }
.number { text-align: right; white-space: nowrap; }
.number small { display: block; }
th.words, td.words { min-width: 12rem; overflow-wrap: anywhere; }
th.name, td.name { white-space: nowrap; }
.columns td.words { min-width: 0; }
th.wide, td.wide { width: 38%; min-width: 10rem; }
td.digest { font-size: 0.85rem; }
tbody th.name code { white-space: nowrap; }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--blue); padding: 0.2rem 0; }
details .scroll { margin-top: 0.6rem; max-height: 32rem; overflow-y: auto; }

.chooser { display: none; }
.script .chooser:not(:empty) { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.4rem, 1fr)); gap: 0.5rem; margin-bottom: 1rem; }
.chooser button { font: inherit; font-size: 0.8rem; line-height: 1.3; color: inherit; text-align: left; padding: 0.3rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); cursor: pointer; }
.chooser button[aria-pressed=true] { border-color: var(--blue); box-shadow: 0 0 0 1px var(--blue); }
.chooser img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 5px; margin-bottom: 0.25rem; }
.chooser span, .chooser small { display: block; }
.run { padding: 1.1rem 1.25rem 1.25rem; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
.run + .run { margin-top: 1rem; }
.script .run:not(.shown) { display: none; }
.script .run + .run { margin-top: 0; }
.run h3 { margin: 0; }
h3.prompt { font-weight: 600; }
.prompt { margin-top: 0.1rem; overflow-wrap: anywhere; white-space: pre-line; }
.chips { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; list-style: none; padding: 0; margin-top: 0.3rem; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.chips span { color: var(--soft); }
.warning { margin-top: 0.6rem; padding: 0.5rem 0.8rem; border-radius: 6px; background: var(--red-bg); color: var(--ink); font-size: 0.92rem; }
.warning b { color: var(--red); }
.views { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1rem; margin-top: 0.9rem; align-items: start; }
.pair { grid-column: span 2; display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.views img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--faint); }
.views figcaption { color: var(--soft); font-size: 0.85rem; margin-top: 0.35rem; }
.script .views:has(.slider) { grid-template-columns: 1fr 1fr; }
.pair.slider { --divider: 50%; grid-column: auto; display: block; position: relative; cursor: ew-resize; touch-action: pan-y; user-select: none; -webkit-user-select: none; }
.slider .candidate { position: absolute; inset: 0; }
.slider .candidate img { clip-path: inset(0 0 0 var(--divider)); background: none; }
.slider figcaption { display: flex; }
.slider .candidate figcaption { justify-content: flex-end; }
.divider { position: absolute; top: 0; bottom: 1.8rem; left: var(--divider); width: 2px; margin-left: -1px; background: #fff; box-shadow: 0 0 0 1px #0007; pointer-events: none; }
.divider::after { content: "\2039\2002\203A"; position: absolute; top: 50%; left: 50%; transform: translate(-50%, -50%); width: 2.3rem; height: 2.3rem; border-radius: 50%; background: #fff; color: #1d2329; box-shadow: 0 0 0 1px #0005, 0 1px 4px #0006; font-size: 1.15rem; line-height: 2.15rem; text-align: center; }
.slider input { position: absolute; inset: 0 0 1.8rem 0; width: 100%; margin: 0; opacity: 0; pointer-events: none; }
.slider:focus-within { outline: 2px solid var(--blue); outline-offset: 4px; border-radius: 6px; }
.with-script { display: none; }
.script .with-script { display: inline; }
.legend { color: var(--soft); font-size: 0.85rem; margin-top: 0.9rem; }
.scale { display: inline-flex; align-items: center; gap: 0.4rem; vertical-align: middle; }
.ramp { width: 8rem; height: 0.7rem; border-radius: 3px; background: linear-gradient(90deg, rgb(6 5 14), rgb(60 18 98), rgb(140 41 104), rgb(214 72 66), rgb(250 150 40), rgb(252 248 190)); }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
.chart { padding: 0.9rem 1rem 0.6rem; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
.chart figcaption { font-weight: 600; font-size: 0.95rem; margin-bottom: 0.4rem; }
.chart figcaption span { font-weight: 400; color: var(--soft); font-size: 0.85rem; }
.chart svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--grey); stroke-width: 1; }
svg .band { fill: var(--band); }
svg .line { fill: none; stroke: var(--blue); stroke-width: 2; stroke-linejoin: round; }
svg .point { fill: var(--blue); }
svg line.bar { stroke: var(--red); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .bar-label { fill: var(--red); }
svg .gap { fill: var(--red); }

.strip { display: block; width: 100%; height: 1.5rem; }
.strip .bar { fill: var(--blue); }
.strip .kept { fill: var(--grey); }
.strip .unknown { fill: var(--red); }
.bars { list-style: none; padding: 0; }
.bars li { display: grid; grid-template-columns: minmax(0, 22rem) minmax(4rem, 1fr) 4.5rem; gap: 0.2rem 0.8rem; align-items: center; padding: 0.2rem 0; font-size: 0.9rem; }
.meter { height: 0.8rem; border-radius: 3px; background: var(--faint); overflow: hidden; }
.meter span { display: block; height: 100%; background: var(--blue); }
.value { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }

.stacks { margin-bottom: 0.3rem; }
.stack { display: grid; grid-template-columns: 6rem minmax(0, 1fr) 5.5rem; gap: 0.8rem; align-items: center; padding: 0.25rem 0; }
.pieces { display: flex; height: 1.7rem; border-radius: 4px; overflow: hidden; background: var(--faint); }
.piece { height: 100%; }
.piece.text, .key.text { background: #009e73; }
.piece.denoise, .key.denoise { background: var(--blue); }
.piece.decode, .key.decode { background: #e69f00; }
.piece.rest, .key.rest { background: var(--grey); }
.key { display: inline-block; width: 0.8rem; height: 0.8rem; border-radius: 2px; margin: 0 0.25rem 0 0.9rem; vertical-align: -1px; }
.key:first-child { margin-left: 0; }
.stacks + .legend { margin: 0.3rem 0 1rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 1.5rem; align-items: start; }
.columns > div { min-width: 0; }
pre { margin: 0 0 0.6rem; padding: 0.8rem 1rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); white-space: pre-wrap; overflow-wrap: anywhere; }
#speed ul { padding-left: 1.3rem; max-width: 46rem; }
#speed li + li { margin-top: 0.25rem; }

@media (max-width: 40rem) {
  .script .chooser:not(:empty) { display: flex; overflow-x: auto; padding: 2px; }
  .chooser button { flex: 0 0 5rem; }
  .views, .script .views:has(.slider) { grid-template-columns: 1fr; }
  .pair { grid-column: auto; }
  .run { padding: 0.9rem; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .tile { padding: 0.7rem 0.8rem; }
  .tile b { font-size: 1.3rem; }
  .stacking, .stacking tbody, .stacking th { display: block; }
  .stacking thead { display: none; }
  .stacking tr { display: grid; grid-template-columns: 1fr 1fr; gap: 0.1rem 1rem; padding: 0.55rem 0.8rem; }
  .stacking tr + tr { border-top: 1px solid var(--line); }
  .stacking th, .stacking td { border: 0; padding: 0.1rem 0; white-space: normal; text-align: left; }
  .stacking th, .stacking td.wide, .stacking td.words { grid-column: 1 / -1; }
  .stacking th { font-weight: 600; }
  .stacking tbody th.name code { white-space: normal; }
  .stacking td { display: flex; flex-wrap: wrap; gap: 0 0.5rem; align-items: baseline; }
  .stacking td::before { content: attr(data-name); color: var(--soft); font-size: 0.85rem; }
  .stacking td.wide, .stacking td.words { width: auto; min-width: 0; }
  .stacking td.wide::before { content: none; }
  .verdict .stacking tr { padding-left: 0; padding-right: 0; }
  .bars li { grid-template-columns: minmax(0, 1fr) 4.5rem; }
  .bars code { grid-column: 1 / -1; }
  .stack { grid-template-columns: minmax(0, 1fr) auto; gap: 0.1rem 0.6rem; }
  .pieces { grid-column: 1 / -1; grid-row: 2; }
  section { margin-top: 2.5rem; }
}
@media print {
  :root {
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --faint: #e8e8e8;
    --blue: #0067a8; --band: #0067a82b; --grey: #777; --green: #00684d; --red: #a83a00; --red-bg: #fcede4;
  }
  @page { margin: 14mm; }
  html { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav, .chooser, .script .chooser:not(:empty), .divider, .slider input, .script .with-script { display: none; }
  .script .run:not(.shown) { display: block; }
  .script .run + .run { margin-top: 0.8rem; }
  .views, .script .views:has(.slider) { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .pair, .pair.slider { grid-column: span 2; display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
  .slider .candidate { position: static; }
  .slider .candidate img { clip-path: none; }
  .slider .candidate figcaption { justify-content: flex-start; }
  .run, .chart, .tile, .verdict, tr, .stack { break-inside: avoid; }
  h2, h3, thead { break-after: avoid; }
  .scroll, details .scroll { overflow: visible; max-height: none; }
  .charts { grid-template-columns: 1fr 1fr; }
  .run { padding: 0.6rem 0.8rem; }
  .runs:has(.run + .run) .views { max-width: 140mm; }
}
)css";
  return style;
}

}  // namespace ditq
