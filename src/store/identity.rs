//! Bindings, what a follower applied for, and what a page leaves behind until it is done.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::outbox::count;
use super::value::statements;
use super::{Conflict, Row, Statement, Store, StoreError, Value, Write, follower_row};
use crate::domain::alert_settings::AlertSettings;
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::Card;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::keys::Place;

const CUSTOMER: Place = Place("binding.customer");
const PROFILE: Place = Place("binding.profile");
const SETTINGS: Place = Place("binding.settings");
const DRAFT: Place = Place("application_draft.draft");
const NUMBER: Place = Place("application.number");

/// Applications of one follower that are kept in view; the newest ones.
pub const APPLICATIONS_MAX: u32 = 10;
/// Followers of one customer that one read returns at most.
pub(super) const FOLLOWERS_MAX: usize = 64;

statements! {
    FIND = "SELECT customer_sealed, profile_sealed, default_card, alerts, hide_amounts, source, bound_ms, settings_sealed, \
        account, fkey \
        FROM binding WHERE account = $1 AND fkey = $2";
    OF_CUSTOMER = "SELECT customer_sealed, profile_sealed, default_card, alerts, hide_amounts, source, bound_ms, \
        settings_sealed, account, fkey FROM binding WHERE customer_ix = $1 ORDER BY account, fkey LIMIT $2";
    UPSERT = "INSERT INTO binding (account, fkey, customer_ix, customer_sealed, profile_sealed, default_card, alerts, \
        hide_amounts, consent_hash, consent_ms, source, bound_ms, settings_sealed) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (account, fkey) \
        DO UPDATE SET customer_ix = $3, customer_sealed = $4, profile_sealed = $5, default_card = $6, alerts = $7, \
        hide_amounts = $8, consent_hash = $9, consent_ms = $10, source = $11, bound_ms = $12, \
        settings_sealed = $13";
    INSERT_IF_NEW = "INSERT INTO binding (account, fkey, customer_ix, customer_sealed, profile_sealed, default_card, \
        alerts, hide_amounts, consent_hash, consent_ms, source, bound_ms, settings_sealed) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (account, fkey) DO NOTHING";
    SET_CARD = "UPDATE binding SET default_card = $4 WHERE account = $1 AND fkey = $2 AND customer_ix = $3";
    SET_PROFILE = "UPDATE binding SET profile_sealed = $4 WHERE account = $1 AND fkey = $2 AND customer_ix = $3";
    SET_ALERTS = "UPDATE binding SET alerts = $4, hide_amounts = $5, settings_sealed = $6 \
        WHERE account = $1 AND fkey = $2 AND customer_ix = $3";
    DELETE = "DELETE FROM binding WHERE account = $1 AND fkey = $2 AND customer_ix = $3";
    HOLDER = "SELECT version FROM customer_holder WHERE account = $1 AND customer_ix = $2";
    FIRST_HOLD = "INSERT INTO customer_holder (account, customer_ix, version) VALUES ($1, $2, 1) \
        ON CONFLICT (account, customer_ix) DO NOTHING";
    NEXT_HOLD = "UPDATE customer_holder SET version = $3 + 1 WHERE account = $1 AND customer_ix = $2 AND version = $3";
    JOIN_HOLD = "INSERT INTO customer_holder (account, customer_ix, version) VALUES ($1, $2, 1) \
        ON CONFLICT (account, customer_ix) DO UPDATE SET version = customer_holder.version + 1";
    FIND_DRAFT = "SELECT draft_id, version, draft_sealed, created_ms FROM application_draft \
        WHERE account = $1 AND fkey = $2";
    CREATE_DRAFT = "INSERT INTO application_draft (account, fkey, draft_id, version, draft_sealed, created_ms) \
        VALUES ($1, $2, $3, 1, $4, $5) ON CONFLICT (account, fkey) DO NOTHING";
    SAVE_DRAFT = "UPDATE application_draft SET version = $4 + 1, draft_sealed = $5 \
        WHERE account = $1 AND fkey = $2 AND draft_id = $3 AND version = $4";
    END_DRAFT = "DELETE FROM application_draft WHERE account = $1 AND fkey = $2 AND draft_id = $3 AND version = $4";
    ERASE_DRAFTS = "DELETE FROM application_draft WHERE account = $1 AND fkey = $2";
    OLD_DRAFTS = "DELETE FROM application_draft WHERE created_ms < $1";
    INSERT_APPLICATION = "INSERT INTO application (application_id, account, fkey, number_sealed, submitted_ms) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (application_id) DO NOTHING";
    APPLICATIONS = "SELECT application_id, number_sealed, submitted_ms FROM application \
        WHERE account = $1 AND fkey = $2 ORDER BY submitted_ms DESC, application_id DESC LIMIT $3";
    ERASE_APPLICATIONS = "DELETE FROM application WHERE account = $1 AND fkey = $2";
}

/// What the customer agreed to when he bound: the hash of the text he was shown, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// SHA-256 of the text, in hexadecimal.
    pub text_hash: String,
    /// When.
    pub at: UnixMs,
}

/// A card application that is being filled in. The form itself is the room's own JSON.
#[derive(Clone)]
pub struct StoredDraft {
    /// Its id; also the idempotency key of its submission.
    pub draft_id: String,
    /// Zero: not stored yet.
    pub version: i64,
    /// The form as JSON.
    pub form: Zeroizing<Vec<u8>>,
    /// When it was begun.
    pub created: UnixMs,
}

/// An application that the core took in.
#[derive(Clone, Debug)]
pub struct Application {
    /// 受理编号
    pub number: Personal,
    /// When it was submitted.
    pub submitted: UnixMs,
}

#[derive(Serialize, Deserialize)]
struct Profile {
    name_masked: String,
    cards: Vec<Card>,
}

fn source_name(source: BindingSource) -> &'static str {
    match source {
        BindingSource::Page => "page",
        BindingSource::Import => "import",
    }
}

impl Store {
    /// The blind index of a customer.
    #[must_use]
    pub fn customer_index(&self, customer: &CustomerId) -> [u8; 16] {
        self.vault().index("customer", &[customer.reveal().as_bytes()])
    }

    /// The binding of a follower.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn binding(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<Binding>, StoreError> {
        let row = self.fetch_one(FIND, vec![account.as_str().into(), follower.into()]).await?;
        row.map(|row| self.read_binding(&row, 0, account, follower)).transpose()
    }

    /// Everyone who is bound to a customer, in every account.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn bindings_of(
        &self,
        customer: &CustomerId,
    ) -> Result<Vec<(AccountId, FollowerKey, Binding)>, StoreError> {
        let args = vec![self.customer_index(customer).into(), count(FOLLOWERS_MAX).into()];
        let rows = self.fetch(OF_CUSTOMER, args).await?;
        rows.iter().map(|row| self.read_whose_binding(row)).collect()
    }

    pub(super) fn read_whose_binding(
        &self,
        row: &Row,
    ) -> Result<(AccountId, FollowerKey, Binding), StoreError> {
        let account = AccountId::new(row.text(8)?);
        let follower = row.follower(9)?;
        let binding = self.read_binding(row, 0, &account, follower)?;
        Ok((account, follower, binding))
    }

    /// Reads the columns of a binding, in the order of `FIND`, from a column on.
    pub(super) fn read_binding(
        &self,
        row: &Row,
        first: usize,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Binding, StoreError> {
        let bad = |column| StoreError::Decode { statement: row.statement, column };
        let key = follower_row(account, follower);
        let customer = self.vault().open(CUSTOMER, &key, row.blob(first)?)?;
        let profile = self.vault().open(PROFILE, &key, row.blob(first + 1)?)?;
        let profile: Profile = serde_json::from_slice(&profile).map_err(|_| bad(first + 1))?;
        Ok(Binding {
            customer: CustomerId::parse(&row.utf8(first, &customer)?).ok_or_else(|| bad(first))?,
            name_masked: Personal::new(profile.name_masked),
            cards: profile.cards,
            default_card: row.text(first + 2)?.to_owned(),
            alerts: row.flag(first + 3)?,
            hide_amounts: row.flag(first + 4)?,
            settings: match row.blob_opt(first + 7)? {
                Some(sealed) => serde_json::from_slice(&self.vault().open(SETTINGS, &key, sealed)?)
                    .map_err(|_| bad(first + 7))?,
                None => AlertSettings::default(),
            },
            bound: row.time(first + 6)?,
            source: match row.text(first + 5)? {
                "page" => BindingSource::Page,
                "import" => BindingSource::Import,
                _ => return Err(bad(first + 5)),
            },
        })
    }

    fn binding_args(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        consent: Option<&Consent>,
    ) -> Result<Vec<Value>, StoreError> {
        let key = follower_row(account, follower);
        Ok(vec![
            account.as_str().into(),
            follower.into(),
            self.customer_index(&binding.customer).into(),
            self.vault().seal(CUSTOMER, &key, binding.customer.reveal().as_bytes())?.into(),
            self.profile_value(&key, binding)?,
            binding.default_card.as_str().into(),
            binding.alerts.into(),
            binding.hide_amounts.into(),
            consent.map(|consent| consent.text_hash.as_str()).into(),
            consent.map(|consent| consent.at).into(),
            source_name(binding.source).into(),
            binding.bound.into(),
            self.settings_value(account, follower, &binding.settings)?,
        ])
    }

    fn profile_value(&self, key: &[u8], binding: &Binding) -> Result<Value, StoreError> {
        let profile =
            Profile { name_masked: binding.name_masked.reveal().to_owned(), cards: binding.cards.clone() };
        let profile = Zeroizing::new(serde_json::json!(profile).to_string());
        Ok(self.vault().seal(PROFILE, key, profile.as_bytes())?.into())
    }

    /// NULL for who settled nothing.
    fn settings_value(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        settings: &AlertSettings,
    ) -> Result<Value, StoreError> {
        if *settings == AlertSettings::default() {
            return Ok(None::<Vec<u8>>.into());
        }
        let json = serde_json::to_vec(settings)?;
        Ok(self.vault().seal(SETTINGS, &follower_row(account, follower), &json)?.into())
    }

    /// Binds a follower in place of whatever he was bound to.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn put_binding(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        consent: &Consent,
    ) -> Result<Write, StoreError> {
        Ok(Write::new(UPSERT, self.binding_args(account, follower, binding, Some(consent))?))
    }

    /// Binds a follower who is not bound; [`Conflict::Duplicate`] when he is.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn add_binding(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
    ) -> Result<Write, StoreError> {
        let args = self.binding_args(account, follower, binding, None)?;
        Ok(Write::one(INSERT_IF_NEW, args, Conflict::Duplicate))
    }

    /// A change of the row that binds this follower to this customer; `values` follow its key as parameters.
    fn change_binding<const N: usize>(
        &self,
        statement: Statement,
        (account, follower, customer): (&AccountId, FollowerKey, &CustomerId),
        values: [Value; N],
    ) -> Write {
        let key = [account.as_str().into(), follower.into(), self.customer_index(customer).into()];
        Write::one(statement, key.into_iter().chain(values).collect(), Conflict::Stale)
    }

    /// Changes the card that answers use; [`Conflict::Stale`] when the follower is bound to this customer no more.
    #[must_use]
    pub fn set_default_card(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        customer: &CustomerId,
        card_id: &str,
    ) -> Write {
        self.change_binding(SET_CARD, (account, follower, customer), [card_id.into()])
    }

    /// Saves the cards as they stand in `binding`; [`Conflict::Stale`] when the follower is bound to its customer no more.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn save_cards(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
    ) -> Result<Write, StoreError> {
        let profile = self.profile_value(&follower_row(account, follower), binding)?;
        Ok(self.change_binding(SET_PROFILE, (account, follower, &binding.customer), [profile]))
    }

    /// Saves the settings of alerts as they stand in `binding`; [`Conflict::Stale`] when the follower is bound to its
    /// customer no more.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn save_alerts(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
    ) -> Result<Write, StoreError> {
        let settings = self.settings_value(account, follower, &binding.settings)?;
        let values = [binding.alerts.into(), binding.hide_amounts.into(), settings];
        Ok(self.change_binding(SET_ALERTS, (account, follower, &binding.customer), values))
    }

    /// Ends a binding; [`Conflict::Stale`] when the follower is bound to this customer no more.
    #[must_use]
    pub fn delete_binding(&self, account: &AccountId, follower: FollowerKey, customer: &CustomerId) -> Write {
        self.change_binding(DELETE, (account, follower, customer), [])
    }

    /// How often the customer's binding changed hands in this account. Read it before reading who is bound.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holds(&self, account: &AccountId, customer: &CustomerId) -> Result<i64, StoreError> {
        let args = vec![account.as_str().into(), self.customer_index(customer).into()];
        self.fetch_one(HOLDER, args).await?.map_or(Ok(0), |row| row.int(0))
    }

    /// Takes the customer over from whoever was bound when `holds` was read; [`Conflict::Stale`] when that changed.
    /// First in its commit: it makes commits about the same customer wait for each other.
    #[must_use]
    pub fn take_hold(&self, account: &AccountId, customer: &CustomerId, holds: i64) -> Write {
        let index = self.customer_index(customer);
        if holds == 0 {
            return Write::one(FIRST_HOLD, vec![account.as_str().into(), index.into()], Conflict::Stale);
        }
        Write::one(NEXT_HOLD, vec![account.as_str().into(), index.into(), holds.into()], Conflict::Stale)
    }

    /// Notes that one more follower is bound to the customer, beside those who are. First in its commit.
    #[must_use]
    pub fn join_hold(&self, account: &AccountId, customer: &CustomerId) -> Write {
        Write::new(JOIN_HOLD, vec![account.as_str().into(), self.customer_index(customer).into()])
    }

    /// The application that a follower is filling in.
    ///
    /// # Errors
    /// When the database fails or the draft does not open.
    pub async fn draft(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<StoredDraft>, StoreError> {
        let row = self.fetch_one(FIND_DRAFT, vec![account.as_str().into(), follower.into()]).await?;
        let Some(row) = row else { return Ok(None) };
        let draft_id = row.text(0)?.to_owned();
        let form = self.vault().open(DRAFT, draft_id.as_bytes(), row.blob(2)?)?;
        Ok(Some(StoredDraft { draft_id, version: row.int(1)?, form, created: row.time(3)? }))
    }

    /// Saves a draft as its next version; [`Conflict::Stale`] when it changed or ended since it was read.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn save_draft(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        draft: &StoredDraft,
    ) -> Result<Write, StoreError> {
        let sealed = self.vault().seal(DRAFT, draft.draft_id.as_bytes(), &draft.form)?;
        let mut args: Vec<Value> =
            vec![account.as_str().into(), follower.into(), draft.draft_id.as_str().into()];
        if draft.version == 0 {
            args.extend([sealed.into(), draft.created.into()]);
            return Ok(Write::one(CREATE_DRAFT, args, Conflict::Stale));
        }
        args.extend([draft.version.into(), sealed.into()]);
        Ok(Write::one(SAVE_DRAFT, args, Conflict::Stale))
    }

    /// Erases a draft that did its work; [`Conflict::Stale`] when it changed or ended since it was read.
    #[must_use]
    pub fn end_draft(&self, account: &AccountId, follower: FollowerKey, draft: &StoredDraft) -> Write {
        let args = vec![
            account.as_str().into(),
            follower.into(),
            draft.draft_id.as_str().into(),
            draft.version.into(),
        ];
        Write::one(END_DRAFT, args, Conflict::Stale)
    }

    /// Erases whatever draft a follower has.
    #[must_use]
    pub fn erase_drafts(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE_DRAFTS, vec![account.as_str().into(), follower.into()])
    }

    /// Erases drafts that were begun before a moment.
    #[must_use]
    pub fn forget_drafts(&self, before: UnixMs) -> Write {
        Write::new(OLD_DRAFTS, vec![before.into()])
    }

    /// Notes an application that the core took in; the id is the draft's.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn add_application(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        application_id: &str,
        application: &Application,
    ) -> Result<Write, StoreError> {
        let number = application.number.reveal().as_bytes();
        let args = vec![
            application_id.into(),
            account.as_str().into(),
            follower.into(),
            self.vault().seal(NUMBER, application_id.as_bytes(), number)?.into(),
            application.submitted.into(),
        ];
        Ok(Write::one(INSERT_APPLICATION, args, Conflict::Duplicate))
    }

    /// The applications of a follower, the newest first, at most [`APPLICATIONS_MAX`].
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn applications(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Vec<Application>, StoreError> {
        let args = vec![account.as_str().into(), follower.into(), APPLICATIONS_MAX.into()];
        let rows = self.fetch(APPLICATIONS, args).await?;
        rows.iter()
            .map(|row| {
                let number = self.vault().open(NUMBER, row.text(0)?.as_bytes(), row.blob(1)?)?;
                Ok(Application { number: Personal::new(row.utf8(1, &number)?), submitted: row.time(2)? })
            })
            .collect()
    }

    /// Forgets which applications are a follower's.
    #[must_use]
    pub fn erase_applications(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE_APPLICATIONS, vec![account.as_str().into(), follower.into()])
    }
}
