#pragma once
/// The style sheet of our pages. Colours of policies (p…) and tasks (t…) are told apart in light and dark,
/// and by the usual kinds of colour blindness.

#include <string_view>

namespace rtmdl {

inline constexpr std::string_view kPageStyle = R"css(
:root{color-scheme:light dark;--bg:#fff;--panel:#f6f7f9;--text:#1b1f24;--soft:#5b6470;--rule:#dde1e6;--bad:#c62a2f;--good:#1a7f4b;--stall:#8b5cf633;
--p-rtmdl:#0b6bcb;--p0:#8a8f98;--p1:#d9822b;--p2:#12936f;--p3:#b04fa5;--p4:#a3841c;
--t0:#3f7fd1;--t1:#e08a2c;--t2:#3a9d6d;--t3:#b35bb0;--t4:#8f9a2a;--t5:#2aa5b3;--t6:#c9605f;--t7:#7a6fd0;--t8:#a57c52;--t9:#6f7a87}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--panel:#1d2127;--text:#e8ebef;--soft:#9aa4b0;--rule:#333a43;--bad:#ff7b72;--good:#56c98d;--stall:#a78bfa40;
--p-rtmdl:#58a6ff;--p0:#8d949e;--p1:#e8a04f;--p2:#3fbf97;--p3:#d184c8;--p4:#c9ab45;
--t0:#6aa5f0;--t1:#f0a550;--t2:#5fc394;--t3:#d283cf;--t4:#b5c04d;--t5:#4fc7d4;--t6:#e88583;--t7:#a197f0;--t8:#c79f74;--t9:#94a0ae}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:15px;font-weight:600;color:var(--soft);margin:0 0 6px}
.headline{font-size:25px;line-height:1.3;font-weight:650;margin:0 0 20px;max-width:46em;letter-spacing:-.01em}
h2{font-size:18px;margin:38px 0 4px}
p.say{color:var(--soft);margin:0 0 10px;max-width:60em}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:12px}
.card{background:var(--panel);border-radius:8px;padding:12px 14px;border-top:4px solid var(--c)}
.card b{display:block;font-size:30px;line-height:1.2;font-variant-numeric:tabular-nums}
.card dl{display:grid;grid-template-columns:auto auto;margin:6px 0 0;gap:0 10px;font-size:13px}
.card dt{color:var(--soft)}.card dd{margin:0;white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}
h3{font-size:15px;margin:14px 0 2px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));gap:0 36px}
figure{margin:0;overflow-x:auto}
svg{display:block;width:100%;min-width:520px;height:auto}
.wide svg{min-width:900px}
svg text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:var(--text)}
svg .axis{fill:var(--soft);font-size:11px}svg .value{paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}svg .strong{font-weight:700}svg .value{font-size:11px;font-variant-numeric:tabular-nums}svg .over,.over{fill:var(--bad);color:var(--bad);font-weight:650}
.grid{stroke:var(--rule);stroke-width:1}.limit{stroke:var(--bad);stroke-width:1.4;stroke-dasharray:4 3}
.point{stroke:var(--bg);stroke-width:1.5}.front{fill:none;stroke:var(--soft);stroke-dasharray:5 4;stroke-width:1.4}.front-dot{fill:var(--soft)}
.range path{stroke:currentColor;stroke-width:1.6;fill:none}.range rect{fill:currentColor;stroke:none;opacity:.45}.range circle{fill:currentColor}
.lane{fill:var(--panel)}.stall{fill:var(--stall)}.job{opacity:.55}.miss{stroke:var(--bad);stroke-width:2;fill:none}.over-other{stroke:var(--bg);stroke-width:.4}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);margin:0 0 6px;padding:0;list-style:none}
.key i{display:inline-block;width:11px;height:11px;border-radius:2px;background:var(--c);margin-right:6px}
.key i.dash{height:0;border-radius:0;border-top:2px dashed var(--bad);background:none;vertical-align:middle;width:22px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:4px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--rule)}
th.name,td.name{text-align:left}tbody th{text-align:left;font-weight:650;vertical-align:top}
td i{display:inline-block;width:9px;height:9px;border-radius:2px;background:var(--c);margin-right:7px}
.zero{color:var(--soft)}td.good{color:var(--good)}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;font-size:14px;margin:0}
dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;overflow-wrap:anywhere}
ul.notes{margin:8px 0;padding-left:20px}
code{font:13px ui-monospace,"DejaVu Sans Mono",monospace;background:var(--panel);padding:1px 5px;border-radius:4px;overflow-wrap:anywhere}
@media (max-width:600px){main{padding:16px 14px 40px}.headline{font-size:20px}dl.facts{grid-template-columns:1fr}dl.facts dd{margin-bottom:6px}}
@media print{figure,.scroll{overflow:visible}h2{break-after:avoid}}
.p-rtmdl{--c:var(--p-rtmdl);fill:var(--p-rtmdl)}.p0{--c:var(--p0);fill:var(--p0)}.p1{--c:var(--p1);fill:var(--p1)}.p2{--c:var(--p2);fill:var(--p2)}
.p3{--c:var(--p3);fill:var(--p3)}.p4{--c:var(--p4);fill:var(--p4)}.range{color:var(--c)}
.t0{fill:var(--t0)}.t1{fill:var(--t1)}.t2{fill:var(--t2)}.t3{fill:var(--t3)}.t4{fill:var(--t4)}.t5{fill:var(--t5)}.t6{fill:var(--t6)}.t7{fill:var(--t7)}
.t8{fill:var(--t8)}.t9{fill:var(--t9)}
.front-pair{display:grid;grid-template-columns:minmax(0,540px) minmax(0,1fr);gap:8px 24px;align-items:start}
.levels th,.levels td{padding:3px 5px}.levels table{font-size:12px}.levels tbody th{white-space:normal;min-width:9em}
@media (max-width:1080px){.front-pair{grid-template-columns:minmax(0,1fr)}}
.m-fp32{--c:var(--t0)}.m-int8{--c:var(--t1)}.m-fp16{--c:var(--t2)}.m-other{--c:var(--t3)}.m-none{--c:var(--soft)}
.level{fill:var(--c);fill-opacity:.8;stroke:var(--c);stroke-width:1.5}.hollow{fill-opacity:0}.ring{fill:none;stroke:var(--text);stroke-width:1.3}
.steps{fill:none;stroke:var(--c,var(--soft));stroke-width:1.4;opacity:.75}.leader{stroke:var(--soft);stroke-width:.7}.paper{fill:var(--bg)}
)css";

}  // namespace rtmdl
