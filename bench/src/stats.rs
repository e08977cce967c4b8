//! What a series of samples says.

/// Order statistics of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Half the samples are above, half below.
    pub median: f64,
    /// A tenth of the samples is below.
    pub p10: f64,
    /// A tenth of the samples is above.
    pub p90: f64,
    /// One in a hundred is above.
    pub p99: f64,
}

impl Summary {
    /// Summarises `values`; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (
                sorted[place.floor() as usize],
                sorted[place.ceil() as usize],
            );
            below + (above - below) * place.fract()
        };
        Some(Summary {
            median: at(0.5),
            p10: at(0.1),
            p90: at(0.9),
            p99: at(0.99),
        })
    }
}

/// The samples of one row on one side.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// How many operations each sample of the last round did.
    pub operations: u64,
    /// Every sample's value per operation, and whether it was clean, in the order of sampling.
    pub samples: Vec<(f64, bool)>,
    /// The 99th percentile of single operations, in nanoseconds, once per round.
    pub p99s: Vec<f64>,
}

impl Series {
    /// How many samples were clean.
    pub fn clean(&self) -> usize {
        self.samples.iter().filter(|(_, clean)| *clean).count()
    }

    /// What one of a hundred single operations takes longer than; the middle of the rounds.
    pub fn p99(&self) -> Option<f64> {
        Summary::of(&self.p99s).map(|rounds| rounds.median)
    }

    /// Summarises the clean samples, or all if most were disturbed.
    pub fn summary(&self) -> Option<Summary> {
        let mostly_clean = self.clean() * 2 >= self.samples.len();
        let counted = self
            .samples
            .iter()
            .filter(|(_, clean)| *clean || !mostly_clean);
        Summary::of(&counted.map(|(value, _)| *value).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated() {
        let values: Vec<f64> = (0..=10).rev().map(f64::from).collect();
        let expected = Summary {
            median: 5.0,
            p10: 1.0,
            p90: 9.0,
            p99: 9.9,
        };
        assert_eq!(Summary::of(&values), Some(expected));
        assert_eq!(Summary::of(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn disturbed_samples_count_only_when_they_are_most() {
        let mut series = Series {
            operations: 1,
            samples: vec![(1.0, true), (9.0, false)],
            p99s: vec![3.0, 1.0, 2.0],
        };
        assert_eq!(series.summary().unwrap().median, 1.0);
        series.samples.push((9.0, false));
        assert_eq!(series.summary().unwrap().median, 9.0);
        assert_eq!(series.p99(), Some(2.0));
    }
}
