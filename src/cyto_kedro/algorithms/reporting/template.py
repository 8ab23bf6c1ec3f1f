"""The page of the report: one HTML file without any outside resource.

Rendered by jinja2 with autoescape on: whatever a field or condition is called is shown as text.
"""

STYLE = """
:root{--ink:#1f2428;--soft:#5b646c;--line:#d9dee2;--wash:#f5f7f8;--accent:#0072b2;--warn:#b34700;
 --page:#fff;--alarm:#fdf3ec}
*{box-sizing:border-box}
body{margin:0 auto;max-width:min(96vw,96rem);padding:1.2rem;color:var(--ink);background:var(--page);
 font:16px/1.5 "Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans",sans-serif}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 1.4rem}
header p{margin:0}nav{flex-basis:100%}
h1{font-size:1.7rem;line-height:1.2;margin:0}
h2{font-size:1.3rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:2px solid var(--accent)}
#numbers>h2{margin-top:.6rem}
h3{font-size:1.05rem;margin:1.4rem 0 .4rem}
p,figcaption{max-width:44rem}a{color:var(--accent)}
.sub,figcaption,.note{color:var(--soft)} figcaption,.note{font-size:.88rem}
.cards{display:flex;flex-wrap:wrap;gap:.8rem;margin:.8rem 0}
.card{flex:1 1 18rem;background:var(--wash);border-radius:.5rem;padding:.9rem 1rem;
 border-left:.35rem solid var(--hue,var(--accent))}
.card h3{margin:0 0 .4rem;overflow-wrap:anywhere}
.card dl{display:grid;grid-template-columns:1fr auto;gap:.1rem .8rem;margin:0}
.card dt{color:var(--soft)}.card dd{margin:0;text-align:right;font-weight:600;
 font-variant-numeric:tabular-nums}
.first{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,34rem),1fr));gap:0 2rem;
 align-items:start}
.first figure{margin:.4rem 0 1rem}.first h3{margin:.4rem 0}
.first .answers{font-size:1.02rem;margin-top:.4rem}
.vector svg{width:100%;height:auto;max-width:60rem;display:block}
.vector g[id*="-said"]:hover{filter:brightness(.75)}
.vector g[id*="-said"]:hover path{stroke-width:3px!important}
.vector a:hover path{stroke:var(--accent)!important;stroke-opacity:.45!important}
.over{position:relative;width:fit-content}.over svg{position:absolute;inset:0;width:100%;height:100%}
.effects img,.effects svg{max-width:min(100%,82rem)}
.card sup{color:var(--warn);font-weight:400;margin-left:.2rem}
.card .doubt{margin:.5rem 0 0;padding-left:.6rem;border-left:.2rem solid var(--warn);font-size:.85rem}
summary{cursor:pointer;color:var(--accent);margin:.6rem 0}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;margin:.4rem 0}
th,td{padding:.3rem .7rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top;
 overflow-wrap:break-word;max-width:30rem}
thead th.n{min-width:4.4rem}td.n{white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
thead th{border-bottom:2px solid var(--ink)}
.sort{cursor:pointer}.sort:hover{color:var(--accent)}
[aria-sort=ascending]::after{content:" ▲"}[aria-sort=descending]::after{content:" ▼"}
input[type=search]{font:inherit;font-size:.88rem;margin:.4rem 0 0;padding:.2rem .5rem;color:inherit;
 background:var(--page);border:1px solid var(--line);border-radius:.3rem}
figure{margin:1.2rem 0 2rem;min-width:0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,34rem),1fr));gap:0 2.5rem;
 align-items:start}
figure img{max-width:min(100%,50rem);height:auto;display:block;margin-bottom:.5rem}
.answers{font-size:1.1rem;max-width:50rem;padding-left:1.2rem}.answers li{margin:.4rem 0}
.warn ol{margin:.3rem 0;padding-left:1.4rem}
.warn{border-left:.35rem solid var(--warn);background:var(--alarm);padding:.6rem 1rem;
 border-radius:.3rem}
code,pre{font:.84rem/1.45 ui-monospace,Menlo,Consolas,monospace}
pre{background:var(--wash);padding:.8rem;overflow-x:auto;white-space:pre-wrap;
 overflow-wrap:anywhere}
nav a{margin-right:1rem;color:var(--accent)}
@media screen and (prefers-color-scheme:dark){
 :root{--ink:#e4e7ea;--soft:#a3acb4;--line:#3a4148;--wash:#20262b;--accent:#62b5ee;--warn:#ff9a52;
 --page:#15191c;--alarm:#33251a}
 .vector svg,img.drawn{filter:invert(.93) hue-rotate(180deg) brightness(1.25)}
 .vector svg image{filter:hue-rotate(180deg) invert(1)}
}
.rows tbody tr{position:relative}.rows tbody tr:hover{background:var(--wash)}
.rows td:first-child a::after{content:"";position:absolute;inset:0}
.clip{display:none}
.clip:target{display:block;position:fixed;right:1rem;bottom:1rem;z-index:9;width:20rem;margin:0;
 padding:.8rem;background:var(--page);border:1px solid var(--soft);border-radius:.5rem;
 box-shadow:0 .3rem 1.5rem #0006}
.clip img{width:100%}.clip h3{margin:0 1.5rem .4rem 0}
.clip .close{position:absolute;right:.8rem;top:.6rem;text-decoration:none;font-weight:700}
@media print{nav,input,.clip:target{display:none}body{max-width:none;padding:0;font-size:10pt}
 figure,.card,tr{break-inside:avoid}h2,h3{break-after:avoid}details>*{display:block}
 .wide{overflow:visible}table{font-size:7pt;width:100%}
 th,td{padding:.15rem .2rem}thead th.n{min-width:0}
 figure{margin:.5rem 0 1rem}figure img,.vector svg{max-width:14cm;max-height:12cm;object-fit:contain}
 .over{max-width:14cm}.first,.figures{display:block}
 .effects img,.effects svg{max-width:100%;max-height:18cm}}
"""

# without it the page is whole, but tables stay as they are
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows]
  if (rows.length < 3) continue
  const value = (row, i) => {
    const text = row.cells[i].textContent.trim(), n = parseFloat(text.replace("\u2212", "-"))
    return [text === "\u2013" || text === "" ? 2 : isNaN(n) ? 1 : 0, n, text]
  };
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    const sort = () => {
      const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort")
      head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending")
      const keyed = rows.map(row => [value(row, i), row])
      keyed.sort(([a], [b]) => a[0] - b[0] || turn * (
        a[0] ? a[2].localeCompare(b[2], undefined, {numeric: true}) : a[1] - b[1]))
      body.append(...keyed.map(each => each[1]))
    }
    head.tabIndex = 0
    head.className += " sort"
    head.title = "sort"
    head.onclick = sort
    head.onkeydown = event => { if (event.key === "Enter") sort() }
  })
  if (rows.length < 9) continue
  const box = document.createElement("input")
  box.type = "search"
  box.placeholder = `filter ${rows.length} rows`
  box.setAttribute("aria-label", box.placeholder)
  box.oninput = () => {
    const words = box.value.toLowerCase().split(/\\s+/)
    for (const row of rows) {
      const text = row.textContent.toLowerCase()
      row.hidden = !words.every(word => text.includes(word))
    }
  }
  table.parentNode.before(box)
}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
{%- macro grid(table, caption) %}
<div class="wide" role="region" tabindex="0" aria-label="{{ caption }}">
<table{% if table.links %} class="rows"{% endif %}>
<thead><tr>
{%- for c in table.columns %}<th scope="col"{% if c.number %} class="n"{% endif %}>{{ c.name }}</th>
{%- endfor %}</tr></thead>
<tbody>
{%- for row in table.rows %}
{%- set link = table.links[loop.index0] if table.links else "" %}
<tr>{% for cell in row %}<td{% if table.columns[loop.index0].number %} class="n"{% endif %}>
{%- if link and loop.first %}<a href="{{ link }}">{{ cell }}</a>{% else %}{{ cell }}{% endif -%}
</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endmacro %}
{%- macro folded(table, caption) %}
{%- if table.rows|length > 12 %}
<details><summary>{{ caption }}: {{ table.rows|length }} rows</summary>
{{ grid(table, caption) }}</details>
{%- else %}{{ grid(table, caption) }}{% endif %}
{%- endmacro %}
{%- macro noted(table, caption) %}
{%- if table.notes %}<div class="warn"><strong>Beware</strong> (numbers: last column)<ol>
{%- for note in table.notes %}<li>{{ note }}</li>{% endfor %}</ol></div>{% endif %}
{{ grid(table, caption) }}
{%- endmacro %}
{%- macro bewared() %}<p class="warn"><a href="#quality">{{ beware }} quality
warning{{ "" if beware == 1 else "s" }}</a>: look there before trusting the numbers.</p>
{%- endmacro %}
{%- macro picture(p) %}
<figure><h3>{{ p.title }}</h3>
{%- if not p.alt %}
{%- elif p.svg %}<div class="vector" role="img" aria-label="{{ p.alt }}">{{ p.svg|safe }}</div>
{%- else %}{% if p.over %}<div class="over vector">{% endif %}
<img{% if p.drawn %} class="drawn"{% endif %} alt="{{ p.alt }}"
 src="data:image/{{ p.kind }};base64,{{ p.data }}">
{%- if p.over %}{{ p.over|safe }}</div>{% endif %}{% endif %}
<figcaption>{{ p.caption }}</figcaption></figure>
{%- endmacro %}
<header>
<h1>{{ title }}</h1>
<p class="sub">{{ subtitle }}</p>
<nav aria-label="Sections"><a href="#numbers">Answer</a><a href="#compared">Compared</a>
<a href="#figures">Figures</a>{% if clips %}<a href="#clips">Clips</a>{% endif %}
{%- if overlays %}<a href="#overlays">Overlays</a>{% endif %}
<a href="#quality">Quality</a><a href="#analysed">Analysed</a>
<a href="#methods">Methods</a><a href="#origin">Provenance</a></nav>
</header>
<main>
<section id="numbers"><h2>The answer, by condition</h2>
{%- macro listed(items) %}
<ul class="answers">
{%- for name, text in items %}<li><strong>{{ name }}</strong>: {{ text }}</li>{% endfor %}</ul>
{%- endmacro %}
{%- if headline or first %}
<div class="first"><div>
{%- if headline %}{{ listed(headline) }}<p class="note">{{ tested }}</p>{% endif %}
{%- if beware %}{{ bewared() }}{% endif %}
</div>{%- for p in first %}{{ picture(p) }}{% endfor %}</div>
{%- elif beware %}{{ bewared() }}{% endif %}
{%- if conditions %}
<h3>Counts by condition</h3>
{{ noted(conditions, "Counts by condition") }}
<details><summary>The same in words</summary>{{ listed(answers) }}</details>
{%- else %}{{ listed(answers) }}{% endif %}
<p class="note">Counts do not say whether conditions differ: see
<a href="#compared">Conditions compared</a>, by replicates.</p>
{%- if not conditions %}
<div class="cards">
{%- for card in cards %}
<div class="card" style="--hue:{{ card.hue }}"><h3>{{ card.name }}</h3><dl>
{%- for name, value, marks in card.lines %}<dt>{{ name }}</dt><dd>{{ value }}
{%- if marks %}<sup title="weakened: see below">{{ marks }}</sup>{% endif %}</dd>{% endfor %}</dl>
{%- for doubt in card.doubts %}<p class="doubt">{{ loop.index }}: {{ doubt }}.</p>{% endfor %}</div>
{%- endfor %}
</div>
{%- endif %}
<p class="note">Cells are tracks; one lost and found again counts once. Deaths are transitions seen in
view. Kills are deaths attributed to effectors: sums of shares, so two halves are one. Effector-hours
are the time that effectors were watched alive: their number in each frame, added up over the film (the
table effectors has each from its first frame to its last, half an interval less at either end).
Speeds are means over fields. The median contact is a Kaplan-Meier estimate; &ldquo;&ndash;&rdquo;
means not reached, or unknown.</p>
<h3>Per field</h3>
{{ folded(by_fov, "Numbers per field") }}
</section>
<section id="compared"><h2>Conditions compared</h2>
{%- if comparisons.rows %}
{%- if not headline %}<p>{{ tested }}</p>{% endif %}
<div class="effects">{%- for p in effects %}{{ picture(p) }}{% endfor %}</div>
{%- if not certain %}<p class="warn">No effect has an interval: each condition needs two replicates at
least. Cells of one well are not independent and cannot stand in.</p>{% endif %}
<details><summary>All {{ comparisons.rows|length }} comparisons as a table</summary>
<p class="note">Replicates are compared, not cells: cells of one well are not independent. Pairs are
condition / what it is compared with. Where a limit or p is missing, the last column says why.</p>
{{ noted(comparisons, "Conditions compared by their replicates") }}
</details>
{%- elif not controls.rows %}
<p>There is only one condition, or no measure of any, so nothing was compared.</p>{% endif %}
{%- if controls.rows %}
<details><summary>{{ controls.rows|length }} comparisons with an effector-free control</summary>
<p class="note">What dies without effectors, apart: no treatment's effect.</p>
{{ noted(controls, "Conditions compared with an effector-free control") }}
</details>
{%- endif %}
{%- if hazards.rows %}
<h3>What raises the risk of death</h3>
<p class="note">Cox regression of targets: a hazard ratio of 2 means that they die at twice the rate.
Limits take replicates, not cells, as independent.</p>
{{ noted(hazards, "Hazard ratios") }}
{%- endif %}
{%- if replicates.rows %}
<details><summary>Values of each replicate</summary>
{{ grid(replicates, "Values of each replicate") }}</details>
{%- endif %}
</section>
<section id="figures"><h2>Figures</h2>
<div class="figures">{%- for p in figures %}{{ picture(p) }}{% endfor %}</div>
{%- if not figures %}<p>No figures were given.</p>{% endif %}
</section>
{%- if clips %}
<section id="clips"><h2>Clips</h2>
<p class="note">A click on a row opens the clip; so does one on a line or a death in the figure of fates.
Kills by the share attributed to the pair, deaths that nobody is held responsible for by their doubt,
the longest contacts.
{%- if unlisted %} {{ unlisted }} more lie in the folder clips beside this page.{% endif %}</p>
<div class="wide" role="region" tabindex="0" aria-label="Clips"><table class="rows">
<thead><tr>{% for name in ("clip", "field", "target", "partner", "share", "frame") %}
<th scope="col">{{ name }}</th>{% endfor %}</tr></thead><tbody>
{%- for clip in clips %}
<tr>{% for cell in clip.cells %}<td>{% if loop.first %}<a href="#{{ clip.name }}">{{ cell }}</a>
{%- else %}{{ cell }}{% endif %}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- for clip in clips %}
<figure class="clip" id="{{ clip.name }}"><h3>{{ clip.title }}</h3>
<a class="close" href="#-" aria-label="close">✕</a>
{%- if clip.src %}<img alt="{{ clip.title }}" src="{{ clip.src }}">{% endif %}
<figcaption>{{ clip.caption }}. <a href="{{ clip.href }}">all of this field</a></figcaption></figure>
{%- endfor %}
</section>
{%- endif %}
{%- if overlays %}
<section id="overlays"><h2>Overlays</h2>
{%- if overlaid %}<p class="note">The first field of each condition. Those of every field lie in
the folders segmentation_overlay and track_overlay beside this page.</p>{% endif %}
<div class="figures">{%- for p in overlays %}{{ picture(p) }}{% endfor %}</div>
</section>
{%- endif %}
<section id="quality"><h2>Quality of films and masks</h2>
{%- if warnings.rows %}
<div class="warn"><strong>Look at these before trusting the numbers.</strong>
{{ folded(warnings, "Quality warnings") }}</div>
{%- else %}<p>No saturation, focus jump, intensity jump, missing calibration or excluded frame was
found.</p>{% endif %}
{%- for p in quality %}{{ picture(p) }}{% endfor %}
</section>
{%- if masks.rows or widths.rows %}
<section id="masks"><h2>Quality of masks and tracks</h2>
{%- if masks.rows %}
<p class="note">The expected F1 is what masks like these had where the truth is known; a flagged field is
not to be trusted. The least trusted stand first, each with its worst frame.</p>
{{ folded(masks, "Fields by the expected F1 of their masks") }}
{%- endif %}
{%- if widths.rows %}
<p class="note">How wide cells are taken to be, median (and range) over fields. It is measured in three
ways where the parameters do not say it; where these disagree, a warning names the field.</p>
{{ grid(widths, "Width of cells by population") }}
{%- endif %}
</section>
{%- endif %}
<section id="analysed"><h2>What was analysed</h2>
<p>{{ populations }}</p>
{{ folded(fields, "Fields analysed") }}
</section>
<section id="methods"><h2>Methods</h2>
{%- if methods.rows %}{{ grid(methods, "Algorithms and parameters") }}
{%- else %}<p>No algorithms are recorded for this run.</p>{% endif %}
</section>
<section id="origin"><h2>Provenance</h2>
{{ grid(origin, "Provenance of the run") }}
{%- if packages %}<details><summary>Package versions</summary><pre>{{ packages }}</pre></details>
{%- endif %}
{%- if params %}<details><summary>All parameters</summary><pre>{{ params }}</pre></details>
{%- endif %}
</section>
</main>
<script>{{ script|safe }}</script>
</body>
</html>
"""
