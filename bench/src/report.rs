//! The table that a person reads.

use crate::drive::{Outcome, Plan, Setting, Stop};
use crate::machine::Machine;
use crate::row::{Row, Target, Unit};
use crate::side::Side;
use crate::stats::Summary;
use std::fmt::Write as _;
use std::io::{Result, Write};

/// How a row fares against its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It meets it.
    Met,
    /// It does not.
    Missed,
    /// A figure that it takes is not there.
    Unknown,
}

/// Judges a row, given the rows that were measured before it.
pub fn verdict(outcome: &Outcome, earlier: &[Outcome]) -> Option<Verdict> {
    let usysv = |outcome: &Outcome| Some(outcome.summary(Side::Usysv)?.median);
    let met = match outcome.row.target? {
        Target::AtLeast(factor) => outcome.ratio().map(|ratio| ratio >= factor),
        Target::NotWorse => outcome.ratio().map(|ratio| ratio >= 1.0 / 1.05),
        Target::AtMost(bound) => usysv(outcome).map(|value| value <= bound),
        Target::Within(factor, base) => earlier
            .iter()
            .find(|outcome| outcome.row.name == base)
            .and_then(usysv)
            .zip(usysv(outcome))
            .map(|(base, value)| value <= factor * base),
        Target::Works => match outcome
            .columns
            .iter()
            .find(|(side, _)| *side == Side::Usysv)
        {
            Some((_, Ok(_))) => Some(true),
            Some((_, Err(Stop::Failed(_)))) => Some(false),
            _ => None,
        },
    };
    Some(match met {
        Some(true) => Verdict::Met,
        Some(false) => Verdict::Missed,
        None => Verdict::Unknown,
    })
}

/// Says in two lines how the figures come about, then which columns are missing and why.
pub fn head(out: &mut dyn Write, machine: &Machine, plan: &Plan, setting: &Setting) -> Result<()> {
    let Machine {
        model,
        cpus,
        kernel,
    } = machine;
    writeln!(
        out,
        "The sides take turns: {} times fresh processes, each {} samples of {} ms; \
         median [p10..p90], ~ marks noise. p99 is of single operations, a look at the clock included.",
        plan.rounds,
        plan.samples,
        plan.sample_time.as_millis(),
    )?;
    writeln!(
        out,
        "kernel: Linux {kernel}, own IPC namespace; usysv: preloaded, private namespace in {}; \
         {cpus} x {model}.",
        setting.scratch.parent().display(),
    )?;
    if let Err(stop) = &setting.kernel {
        writeln!(out, "NO KERNEL COLUMN: {}", stop.why())?;
    }
    if let Err(stop) = &setting.library {
        writeln!(out, "NO USYSV COLUMN: {}", stop.why())?;
    }
    Ok(())
}

/// The table's columns, wide enough for the rows at hand.
pub struct Table {
    title_width: usize,
}

const FIGURE: usize = 22;
const P99: usize = 8;
const RATIO: usize = 13;
const OTHER: usize = 22;
const LIMIT: usize = 8;
const TARGET: usize = 15;

impl Table {
    /// A table for these rows.
    pub fn new(rows: &[&Row]) -> Table {
        let widths = rows.iter().map(|row| row.title.len());
        Table {
            title_width: widths.max().unwrap_or(0),
        }
    }

    fn line(&self, out: &mut dyn Write, cells: [&str; 10]) -> Result<()> {
        let [
            title,
            usysv,
            p99,
            base,
            base_p99,
            ratio,
            other,
            limit,
            target,
            ok,
        ] = cells;
        let line = format!(
            "{title:width$}  {usysv:FIGURE$} {p99:P99$} {base:FIGURE$} {base_p99:P99$} \
             {ratio:RATIO$} {other:OTHER$} {limit:LIMIT$} {target:TARGET$} {ok}",
            width = self.title_width,
        );
        writeln!(out, "{}", line.trim_end())?;
        out.flush()
    }

    /// Writes the column heads.
    pub fn heads(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out)?;
        let heads = [
            "",
            "usysv",
            "p99",
            "kernel",
            "p99",
            "ratio",
            "best other",
            "limit",
            "target",
            "",
        ];
        self.line(out, heads)
    }

    /// Writes a measured row, given the ones before it; reasons that the head gave are not repeated.
    pub fn row(&self, out: &mut dyn Write, outcome: &Outcome, earlier: &[Outcome]) -> Result<()> {
        let row = outcome.row;
        let figure = |side| {
            let summary = outcome.summary(side);
            summary.map_or("-".into(), |it| figure(it, row.unit))
        };
        let p99 = |side| {
            let ns = outcome.p99(side);
            ns.map_or(String::new(), |ns| value_in(ns, Unit::Time))
        };
        let verdict = match verdict(outcome, earlier) {
            None => "",
            Some(Verdict::Met) => "ok",
            Some(Verdict::Missed) => "MISSED",
            Some(Verdict::Unknown) => "?",
        };
        let target = row.target.map_or(String::new(), |it| asked(it, row.unit));
        let other = outcome.best_other().map_or(String::new(), |(side, value)| {
            format!("{} {}", side.name(), value_in(value, row.unit))
        });
        let limit = limit(outcome, earlier).map_or(String::new(), |it| value_in(it, Unit::Time));
        let noise = if outcome.noisy { "~" } else { "" };
        let ok = format!("{verdict} {noise}");
        let cells = [
            row.title,
            &figure(Side::Usysv),
            &p99(Side::Usysv),
            &row.base.map_or("-".into(), figure),
            &row.base.map_or(String::new(), p99),
            &ratio(outcome),
            &other,
            &limit,
            &target,
            ok.trim(),
        ];
        self.line(out, cells)?;
        let mut others: Vec<_> = outcome.others().collect();
        if others.len() > 1 {
            others.sort_by(|(_, one), (_, other)| one.total_cmp(other));
            let all = others.iter();
            let all = all.map(|(side, it)| format!("{} {}", side.name(), value_in(*it, row.unit)));
            writeln!(out, "    {}", all.collect::<Vec<_>>().join(", "))?;
        }
        for (why, sides) in reasons(outcome) {
            writeln!(out, "  {}: {why}", sides.join(", "))?;
        }
        Ok(())
    }
}

/// Why columns are missing, and which, unless the head said so.
fn reasons(outcome: &Outcome) -> Vec<(&str, Vec<&'static str>)> {
    let mut reasons: Vec<(&str, Vec<_>)> = Vec::new();
    for (side, column) in &outcome.columns {
        let Err(stop @ (Stop::Skipped(_) | Stop::Failed(_))) = column else {
            continue;
        };
        match reasons.iter_mut().find(|(why, _)| *why == stop.why()) {
            Some((_, sides)) => sides.push(side.name()),
            None => reasons.push((stop.why(), vec![side.name()])),
        }
    }
    reasons
}

/// The figure of the row's limit, which was measured before it.
pub fn limit(outcome: &Outcome, earlier: &[Outcome]) -> Option<f64> {
    let name = outcome.row.limit?;
    let limit = earlier.iter().find(|outcome| outcome.row.name == name)?;
    Some(limit.summary(Side::Plain)?.median)
}

/// Writes the rows that give context, one after the other.
pub fn limits(out: &mut dyn Write, limits: &[Outcome]) -> Result<()> {
    let mut line = String::new();
    for outcome in limits {
        let separator = if line.is_empty() { "For scale: " } else { "; " };
        let value = match &outcome.columns[..] {
            [(_, Err(stop)), ..] => format!("- ({})", stop.why()),
            _ => outcome
                .summary(Side::Plain)
                .map_or("-".into(), |it| value_in(it.median, outcome.row.unit)),
        };
        let noise = if outcome.noisy { " ~" } else { "" };
        let _infallible = write!(line, "{separator}{} {value}{noise}", outcome.row.title);
    }
    match line.is_empty() {
        true => Ok(()),
        false => writeln!(out, "{line}."),
    }
}

/// The unit that suits a value, and how many of ours make one of it.
fn scale(value: f64, unit: Unit) -> (f64, &'static str) {
    let steps: &[(f64, &str)] = match unit {
        Unit::Time => &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")],
        Unit::Rate => &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
        Unit::Bytes => &[(1_048_576.0, "MiB"), (1024.0, "KiB"), (1.0, "B")],
    };
    let fits = steps.iter().find(|(size, _)| value >= *size);
    *fits.unwrap_or(&steps[steps.len() - 1])
}

fn digits(value: f64) -> String {
    match value {
        _ if value >= 99.95 || value == 0.0 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Operations per second where that is how the row reads.
fn shown(value: f64, unit: Unit) -> f64 {
    match unit {
        Unit::Rate => 1e9 / value,
        Unit::Time | Unit::Bytes => value,
    }
}

fn value_in(value: f64, unit: Unit) -> String {
    let value = shown(value, unit);
    let (size, name) = scale(value, unit);
    format!("{} {name}", digits(value / size))
}

fn figure(summary: Summary, unit: Unit) -> String {
    let (low, high) = match unit {
        Unit::Rate => (summary.p90, summary.p10),
        Unit::Time | Unit::Bytes => (summary.p10, summary.p90),
    };
    let middle = value_in(summary.median, unit);
    if low == high {
        return middle;
    }
    let (size, _) = scale(shown(summary.median, unit), unit);
    let end = |value| digits(shown(value, unit) / size);
    format!("{middle} [{}..{}]", end(low), end(high))
}

fn ratio(outcome: &Outcome) -> String {
    let Some(ratio) = outcome.ratio() else {
        return String::new();
    };
    if outcome.row.base == Some(Side::Plain) {
        let base = outcome.summary(Side::Plain).map_or(0.0, |it| it.median);
        let more = base / ratio - base;
        let sign = if more < 0.0 { '-' } else { '+' };
        return format!("{sign}{}", value_in(more.abs(), outcome.row.unit));
    }
    let (times, word) = if ratio >= 1.0 {
        (ratio, "faster")
    } else {
        (1.0 / ratio, "slower")
    };
    match times < 10.0 {
        true => format!("{times:.2}x {word}"),
        false => format!("{times:.0}x {word}"),
    }
}

fn asked(target: Target, unit: Unit) -> String {
    match target {
        Target::AtLeast(factor) if factor < 1.0 => format!(">= {factor:.2}x"),
        Target::AtLeast(factor) => format!(">= {factor}x"),
        Target::NotWorse => "not worse".into(),
        Target::AtMost(bound) => {
            let (size, name) = scale(bound, unit);
            format!("<= {} {name}", bound / size)
        }
        Target::Within(factor, base) => format!("<= {factor}x {base}"),
        Target::Works => "works".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;
    use crate::stats::Series;

    fn series(value: f64) -> std::result::Result<Series, Stop> {
        Ok(Series {
            operations: 1,
            samples: vec![(value, true)],
            p99s: vec![],
        })
    }

    fn outcome(name: &str, base: f64, usysv: f64) -> Outcome {
        let row = rows::named(name).unwrap();
        let columns = row
            .sides()
            .map(|side| (side, series(if side == Side::Usysv { usysv } else { base })))
            .collect();
        Outcome {
            row,
            columns,
            foreign_share: 0.0,
            noisy: false,
        }
    }

    #[test]
    fn figures_share_the_medians_unit() {
        let spread = |median, p10, p90| Summary {
            median,
            p10,
            p90,
            p99: p90,
        };
        assert_eq!(
            figure(spread(426.0, 420.4, 1440.0), Unit::Time),
            "426 ns [420..1440]"
        );
        assert_eq!(
            figure(spread(1.9e6, 1.8e6, 2.05e6), Unit::Time),
            "1.90 ms [1.80..2.05]"
        );
        assert_eq!(
            figure(spread(500.0, 400.0, 1000.0), Unit::Rate),
            "2.00 M/s [1.00..2.50]"
        );
        assert_eq!(
            figure(spread(8192.0, 8192.0, 8192.0), Unit::Bytes),
            "8.00 KiB"
        );
        assert_eq!(figure(spread(0.0, 0.0, 0.0), Unit::Bytes), "0 B");
    }

    #[test]
    fn ratios_say_which_way_they_go() {
        assert_eq!(ratio(&outcome("pair-64", 426.0, 48.0)), "8.88x faster");
        assert_eq!(ratio(&outcome("pair-64", 1000.0, 1040.0)), "1.04x slower");
        assert_eq!(ratio(&outcome("typed-100k", 1.9e6, 60.0)), "31667x faster");
        assert_eq!(
            ratio(&outcome("start-up", 400_000.0, 470_000.0)),
            "+70.0 us"
        );
        assert_eq!(ratio(&outcome("memory-empty", 0.0, 4096.0)), "");
    }

    #[test]
    fn targets_are_judged() {
        let judge = |name, base, usysv| verdict(&outcome(name, base, usysv), &[]);
        assert_eq!(judge("pair-64", 1200.0, 100.0), Some(Verdict::Met));
        assert_eq!(judge("pair-64", 1199.0, 100.0), Some(Verdict::Missed));
        assert_eq!(judge("pingpong-1cpu", 100.0, 105.0), Some(Verdict::Met));
        assert_eq!(judge("pingpong-1cpu", 100.0, 106.0), Some(Verdict::Missed));
        assert_eq!(judge("memory-empty", 0.0, 8192.0), Some(Verdict::Met));
        assert_eq!(judge("pair-8", 1.0, 9.0), None);
        assert_eq!(judge("typed-100k", 1.9e6, 100.0), Some(Verdict::Met));
        assert_eq!(judge("typed-1m", 1.9e7, 100.0), Some(Verdict::Unknown));
        let base = [outcome("typed-100k", 1.9e6, 50.0)];
        let behind = |usysv| verdict(&outcome("typed-1m", 1.9e7, usysv), &base);
        assert_eq!(behind(100.0), Some(Verdict::Met));
        assert_eq!(behind(101.0), Some(Verdict::Missed));
    }

    #[test]
    fn the_best_other_is_the_fastest() {
        let mut outcome = outcome("sem-pair", 600.0, 60.0);
        assert_eq!(outcome.best_other(), Some((Side::PosixSem, 600.0)));
        outcome.columns.pop();
        assert_eq!(outcome.best_other(), None);
        let mut pair = self::outcome("pair-64", 600.0, 60.0);
        for (side, column) in &mut pair.columns {
            *column = match side {
                Side::Crossbeam => series(20.0),
                Side::Boost => series(40.0),
                _ => series(600.0),
            };
        }
        assert_eq!(pair.best_other(), Some((Side::Boost, 40.0)));
    }

    #[test]
    fn what_fails_has_not_worked() {
        let mut failed = outcome("create-32k", 1e6, 0.0);
        failed.columns[1].1 = Err(Stop::Failed("ENOSPC".into()));
        assert_eq!(verdict(&failed, &[]), Some(Verdict::Missed));
        failed.columns[1].1 = Err(Stop::Absent("no library".into()));
        assert_eq!(verdict(&failed, &[]), Some(Verdict::Unknown));
    }
}
