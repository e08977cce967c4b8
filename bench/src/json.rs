//! What a run measured, summarised as JSON, for machines and for later questions.

use crate::drive::{Outcome, Plan};
use crate::machine::Machine;
use crate::report::{self, Verdict};
use crate::row::Unit;
use crate::stats::Series;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// A JSON text.
struct Json(String);

impl Json {
    fn string(text: &str) -> Json {
        let mut out = String::from('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                control if control < ' ' => {
                    let _infallible = write!(out, "\\u{:04x}", control as u32);
                }
                other => out.push(other),
            }
        }
        Json(out + "\"")
    }

    fn number(value: f64) -> Json {
        Json(if value.is_finite() {
            value.to_string()
        } else {
            "null".into()
        })
    }

    fn list(items: impl IntoIterator<Item = Json>) -> Json {
        let items: Vec<_> = items.into_iter().map(|item| item.0).collect();
        Json(format!("[{}]", items.join(",")))
    }

    fn object<'a>(members: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, value)| format!("{}:{}", Json::string(name).0, value.0))
            .collect();
        Json(format!("{{{}}}", members.join(",")))
    }

    fn or_null<T>(value: Option<T>, json: impl FnOnce(T) -> Json) -> Json {
        value.map_or(Json("null".into()), json)
    }
}

/// The whole run.
pub fn run(machine: &Machine, plan: &Plan, outcomes: &[Outcome]) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let settings = std::env::vars().filter(|(name, _)| name.starts_with("USYSV_SPIN"));
    let settings: Vec<_> = settings.collect();
    let rows = outcomes
        .iter()
        .enumerate()
        .map(|(index, it)| row(it, &outcomes[..index]));
    let document = Json::object([
        ("version", Json::string(env!("CARGO_PKG_VERSION"))),
        ("unix_time", Json::number(now as f64)),
        (
            "machine",
            Json::object([
                ("model", Json::string(&machine.model)),
                ("cpus", Json::number(machine.cpus as f64)),
                ("kernel", Json::string(&machine.kernel)),
            ]),
        ),
        (
            "environment",
            Json::object(
                settings
                    .iter()
                    .map(|(name, value)| (&**name, Json::string(value))),
            ),
        ),
        ("rounds", Json::number(plan.rounds as f64)),
        ("samples_per_round", Json::number(plan.samples as f64)),
        (
            "sample_ms",
            Json::number(plan.sample_time.as_secs_f64() * 1e3),
        ),
        ("rows", Json::list(rows)),
    ]);
    document.0 + "\n"
}

fn row(outcome: &Outcome, earlier: &[Outcome]) -> Json {
    let verdict = report::verdict(outcome, earlier).map(|verdict| match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Unknown => "unknown",
    });
    let unit = match outcome.row.unit {
        Unit::Bytes => "B",
        Unit::Time | Unit::Rate => "ns",
    };
    let columns = outcome.columns.iter().map(|(side, column)| {
        let column = match column {
            Ok(series) => measured(series),
            Err(stop) => Json::object([("missing", Json::string(stop.why()))]),
        };
        (side.name(), column)
    });
    Json::object([
        ("name", Json::string(outcome.row.name)),
        ("title", Json::string(outcome.row.title)),
        ("unit", Json::string(unit)),
        (
            "limit",
            Json::or_null(report::limit(outcome, earlier), Json::number),
        ),
        ("ratio", Json::or_null(outcome.ratio(), Json::number)),
        ("target", Json::or_null(verdict, Json::string)),
        ("noisy", Json(outcome.noisy.to_string())),
        ("foreign_share", Json::number(outcome.foreign_share)),
        ("sides", Json::object(columns)),
    ])
}

fn measured(series: &Series) -> Json {
    let summary = series.summary();
    let statistic = |value| Json::or_null(value, Json::number);
    Json::object([
        ("median", statistic(summary.map(|it| it.median))),
        ("p10", statistic(summary.map(|it| it.p10))),
        ("p90", statistic(summary.map(|it| it.p90))),
        ("p99_of_single_operations", statistic(series.p99())),
        (
            "p99_per_round",
            Json::list(series.p99s.iter().copied().map(Json::number)),
        ),
        (
            "operations_per_sample",
            Json::number(series.operations as f64),
        ),
        ("samples", Json::number(series.samples.len() as f64)),
        ("clean_samples", Json::number(series.clean() as f64)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(Json::string("a\"b\\c\nd").0, r#""a\"b\\c\u000ad""#);
    }

    #[test]
    fn objects_and_lists_nest() {
        let json = Json::object([("a", Json::list([Json::number(1.5), Json::number(f64::NAN)]))]);
        assert_eq!(json.0, r#"{"a":[1.5,null]}"#);
    }
}
