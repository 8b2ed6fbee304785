//! Whose customers a person serves.

use crate::domain::ids::AccountId;

/// The official accounts that a person works for. What belongs to another account does not exist for him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every account of the deployment, those to come too.
    Every,
    /// These accounts; never empty.
    Only(Vec<AccountId>),
}

impl Reach {
    /// Of these accounts; none named means every one.
    #[must_use]
    pub fn of(accounts: impl IntoIterator<Item = AccountId>) -> Self {
        let mut accounts: Vec<_> = accounts.into_iter().collect();
        accounts.sort();
        accounts.dedup();
        if accounts.is_empty() { Self::Every } else { Self::Only(accounts) }
    }

    /// Whether an account's customers are his.
    #[must_use]
    pub fn covers(&self, account: &AccountId) -> bool {
        match self {
            Self::Every => true,
            Self::Only(accounts) => accounts.contains(account),
        }
    }

    /// Whether the two share an account: who shares none with a person does not exist for him either.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        match self {
            Self::Every => true,
            Self::Only(accounts) => accounts.iter().any(|account| other.covers(account)),
        }
    }

    /// As the database has it: ids with commas between; an id has none inside.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Every => String::new(),
            Self::Only(accounts) => accounts.iter().map(AccountId::as_str).collect::<Vec<_>>().join(","),
        }
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Self {
        Self::of(text.split(',').filter(|id| !id.is_empty()).map(AccountId::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_reads_back_and_covers_what_it_names() {
        let (card, loan) = (AccountId::new("card"), AccountId::new("loan"));
        for reach in [Reach::Every, Reach::of([loan.clone()]), Reach::of([loan.clone(), card.clone()])] {
            assert_eq!(Reach::parse(&reach.to_text()), reach);
        }
        assert!(Reach::of([]).covers(&card));
        let only = Reach::of([loan.clone(), loan.clone()]);
        assert!(only.covers(&loan) && !only.covers(&card));
        assert_eq!(only.to_text(), "loan");
        let (every, other) = (Reach::Every, Reach::of([card.clone()]));
        assert!(every.meets(&only) && only.meets(&every) && only.meets(&Reach::of([card, loan])));
        assert!(!only.meets(&other) && !other.meets(&only));
    }
}
