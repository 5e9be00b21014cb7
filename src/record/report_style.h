#pragma once

namespace rebased {

inline constexpr char kReportStyle[] = R"(:root {
  --page: #f6f7f9; --card: #fff; --text: #24282e; --strong: #14171b; --muted: #5d6570; --line: #dfe3e8; --code: #eef0f3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1115; --card: #16191e; --text: #dfe3e8; --strong: #f4f5f7; --muted: #a3abb6;
    --line: #2b3037; --code: #1d2127;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.2rem 1.2rem 3rem; max-width: 68rem; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif;
  -webkit-text-size-adjust: 100%;
}
h1, h2, h3 { color: var(--strong); line-height: 1.2; text-wrap: balance; }
h1 { font-size: 1.8rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .8rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .5rem; }
p { max-width: 44rem; margin: 0 0 1rem; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .9rem; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
th { text-align: left; font-weight: 600; color: var(--strong); }
thead th { font-size: .87rem; color: var(--muted); }
td, th.n { text-align: right; }
td.s { text-align: left; }
small { display: block; color: var(--muted); font-size: .8rem; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; padding: .3rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
figure.full { margin-bottom: 1rem; overflow-x: auto; }
figure svg { display: block; width: 100%; height: auto; max-width: 46rem; margin: 0 auto; }
figure.full svg { min-width: 30rem; }
pre {
  margin: 0; padding: .9rem 1rem; background: var(--code); border-radius: 8px; overflow-x: auto;
  font: .85rem/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace;
}
details {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem 1rem; margin-bottom: .6rem;
}
summary { cursor: pointer; font-weight: 600; color: var(--strong); }
details[open] { padding-bottom: 1rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1.2rem; margin: .8rem 0 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 34rem) {
  body { padding: 1.2rem .8rem 2rem; }
  h1 { font-size: 1.45rem; }
  th, td { padding: .45rem .6rem; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .45rem; }
}
@media print {
  body { max-width: none; padding: 0; background: none; font-size: 11pt; }
  figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  pre { white-space: pre-wrap; }
  .wide { overflow: visible; }
  th, td { white-space: normal; }
}
)";

}  // namespace rebased
