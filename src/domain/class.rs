//! What a piece of work is for, and how much of a bound it may fill: when there is too much to do, the least urgent
//! is refused first, and the most urgent last.

/// What a piece of work is for, least urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Taps that lead elsewhere, places that phones report: nobody waits for an answer.
    Campaign,
    /// Greetings of new followers and of those who scanned a code.
    Marketing,
    /// Pictures, films, links and places, which get an answer from the house's own knowledge.
    Knowledge,
    /// Questions of customers, and what reads at the core for them.
    Query,
    /// What became of alerts, and who no longer wants any.
    Alert,
    /// Losses and fraud, and whatever changes something at the core.
    Security,
}

impl Class {
    /// Every class, least urgent first.
    pub const ALL: [Self; 6] =
        [Self::Campaign, Self::Marketing, Self::Knowledge, Self::Query, Self::Alert, Self::Security];

    /// Its name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Marketing => "marketing",
            Self::Knowledge => "knowledge",
            Self::Query => "query",
            Self::Alert => "alert",
            Self::Security => "security",
        }
    }

    /// How much of a bound it may fill together with all others, in permille.
    fn permille(self) -> usize {
        match self {
            Self::Campaign => 500,
            Self::Marketing => 600,
            Self::Knowledge => 750,
            Self::Query => 900,
            Self::Alert => 950,
            Self::Security => 1_000,
        }
    }

    /// Of so many places in all, how many may be taken when work of this class still begins; at least one of any.
    #[must_use]
    pub fn places_of(self, places_max: usize) -> usize {
        places_max.saturating_mul(self.permille()).div_ceil(1_000)
    }

    /// Whether work of any class may begin while so many places are taken: nothing needs to be told apart yet.
    #[must_use]
    pub fn all_fit(taken: usize, places_max: usize) -> bool {
        taken < Self::Campaign.places_of(places_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_urgent_the_more_of_a_bound_and_only_security_all_of_it() {
        for places_max in [1, 2, 7, 96, 2_048] {
            let places = Class::ALL.map(|class| class.places_of(places_max));
            assert!(places.is_sorted() && places[0] >= 1, "{places:?}");
            assert_eq!(places[5], places_max);
        }
        assert_eq!(
            Class::ALL.map(|class| class.places_of(2_048)),
            [1_024, 1_229, 1_536, 1_844, 1_946, 2_048]
        );
        assert!(Class::ALL.is_sorted());
        assert!(Class::all_fit(1_023, 2_048) && !Class::all_fit(1_024, 2_048));
    }
}
