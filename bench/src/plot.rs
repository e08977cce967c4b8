//! One picture of a run: for each row, how many times faster usysv is than the kernel and than the
//! fastest of the others.

use crate::drive::Outcome;
use crate::machine::Machine;
use crate::row::Unit;
use crate::side::Side;
use std::fmt::Write;

const LEFT: f64 = 330.0;
const WIDTH: f64 = 620.0;
const ROW: f64 = 17.0;
const TOP: f64 = 58.0;

/// A row's two ratios, usysv's figure below.
struct Bar<'a> {
    title: &'a str,
    kernel: f64,
    other: Option<(Side, f64)>,
}

/// The picture, as SVG.
pub fn ratios(machine: &Machine, outcomes: &[Outcome]) -> String {
    let bars: Vec<_> = outcomes.iter().filter_map(bar).collect();
    let all = bars
        .iter()
        .flat_map(|bar| [Some(bar.kernel), bar.other.map(|(_, it)| it)]);
    let (low, high) = all.flatten().fold((0.5f64, 2.0f64), |(low, high), ratio| {
        (low.min(ratio), high.max(ratio))
    });
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let x = |ratio: f64| LEFT + WIDTH * (ratio.log10() - first as f64) / (last - first) as f64;
    let height = TOP + ROW * bars.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 130.0
    );
    let heading = format!(
        "Times faster than the kernel (bar) and than the fastest other (dot): {}, Linux {}",
        machine.model, machine.kernel
    );
    text(&mut svg, 10.0, 20.0, "start", &heading);
    for decade in first..=last {
        let (at, ratio) = (x(10f64.powi(decade)), 10f64.powi(decade));
        let colour = if decade == 0 { "black" } else { "#ddd" };
        line(&mut svg, at, TOP - 6.0, at, height - 8.0, colour);
        text(&mut svg, at, TOP - 12.0, "middle", &format!("{ratio}x"));
    }
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        text(&mut svg, LEFT - 8.0, y + 11.0, "end", bar.title);
        let (from, to) = (x(1.0).min(x(bar.kernel)), x(1.0).max(x(bar.kernel)));
        let colour = if bar.kernel < 1.0 {
            "#c0504d"
        } else {
            "#4f81bd"
        };
        draw(
            &mut svg,
            format_args!(
                "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\" fill=\"{colour}\"/>",
                y + 2.0,
                to - from,
            ),
        );
        let mut label = rounded(bar.kernel);
        let mut end = to;
        if let Some((side, ratio)) = bar.other {
            draw(
                &mut svg,
                format_args!(
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#f79646\" stroke=\"black\"/>",
                    x(ratio),
                    y + 7.0,
                ),
            );
            let _infallible = write!(label, "; {} {}", side.name(), rounded(ratio));
            end = end.max(x(ratio) + 4.0);
        }
        text(&mut svg, end + 5.0, y + 11.0, "start", &label);
    }
    svg + "</svg>\n"
}

fn bar(outcome: &Outcome) -> Option<Bar<'_>> {
    let comparable = outcome.row.base == Some(Side::Kernel) && outcome.row.unit != Unit::Bytes;
    let kernel = outcome.ratio().filter(|ratio| comparable && *ratio > 0.0)?;
    let other = outcome.best_other();
    Some(Bar {
        title: outcome.row.title,
        kernel,
        other: other.and_then(|(side, it)| Some((side, outcome.times(it)?))),
    })
}

fn rounded(ratio: f64) -> String {
    match ratio {
        ..0.095 => format!("{ratio:.4}x"),
        ..9.95 => format!("{ratio:.2}x"),
        _ => format!("{ratio:.0}x"),
    }
}

fn draw(svg: &mut String, element: std::fmt::Arguments) {
    let _infallible = writeln!(svg, "{element}");
}

fn line(svg: &mut String, x1: f64, y1: f64, x2: f64, y2: f64, colour: &str) {
    draw(
        svg,
        format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
        ),
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    draw(
        svg,
        format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"),
    );
}
