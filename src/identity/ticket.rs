//! What a page link proves: that we made it, for whom, for which page, and until when.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::Page;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::store::Store;

/// A link to a page as a whole.
const PLAIN: u8 = 1;
/// A link that is about one thing of the page: its length and text stand before the account.
const ABOUT: u8 = 2;
const MAC_BYTES: usize = 16;
/// Longest ticket that is looked at, in characters.
const CHARS_MAX: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) account: AccountId,
    pub(super) follower: FollowerKey,
    pub(super) page: Page,
    pub(super) expires: UnixMs,
    pub(super) nonce: [u8; 16],
    /// What of the page it is for: a scope, a transaction; empty: the whole page. At most 255 bytes.
    pub(super) about: String,
}

impl Ticket {
    pub(super) fn new(
        store: &Store,
        account: &AccountId,
        follower: FollowerKey,
        page: Page,
        expires: UnixMs,
    ) -> Self {
        let mut nonce = [0; 16];
        store.random().fill(&mut nonce);
        Self { account: account.clone(), follower, page, expires, nonce, about: String::new() }
    }

    /// The same about one thing. A text that is too long is about nothing, and its page says so.
    pub(super) fn about(mut self, about: &str) -> Self {
        if u8::try_from(about.len()).is_ok() {
            about.clone_into(&mut self.about);
        }
        self
    }

    /// Base64url of: form, page, expiry, nonce, follower key, what it is about, account id, keyed hash of all these.
    pub(super) fn sign(&self, store: &Store) -> String {
        let form = if self.about.is_empty() { PLAIN } else { ABOUT };
        let mut bytes = vec![form, page_byte(self.page)];
        bytes.extend(self.expires.0.to_be_bytes());
        bytes.extend(self.nonce);
        bytes.extend(self.follower.as_bytes());
        if form == ABOUT {
            bytes.push(u8::try_from(self.about.len()).unwrap_or(0));
            bytes.extend(self.about.as_bytes());
        }
        bytes.extend(self.account.as_str().as_bytes());
        bytes.extend(seal(store, &bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a ticket that we signed; `None` for anything else. Whether it is still good is the caller's question.
    pub(super) fn read(store: &Store, text: &str) -> Option<Self> {
        if text.len() > CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (payload, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        if !bool::from(seal(store, payload).ct_eq(mac)) {
            return None;
        }
        let (&[form, page], rest) = payload.split_first_chunk::<2>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (nonce, rest) = rest.split_first_chunk::<16>()?;
        let (follower, rest) = rest.split_first_chunk::<16>()?;
        let (about, account) = match form {
            PLAIN => (&[][..], rest),
            ABOUT => {
                let (length, rest) = rest.split_first()?;
                rest.split_at_checked(usize::from(*length))?
            }
            _ => return None,
        };
        Some(Self {
            account: AccountId::new(std::str::from_utf8(account).ok()?),
            follower: FollowerKey::new(*follower),
            page: Page::ALL.into_iter().find(|known| page_byte(*known) == page)?,
            expires: UnixMs(i64::from_be_bytes(*expires)),
            nonce: *nonce,
            about: std::str::from_utf8(about).ok()?.to_owned(),
        })
    }
}

fn page_byte(page: Page) -> u8 {
    match page {
        Page::Bind => 1,
        Page::Apply => 2,
        Page::ApplyProgress => 3,
        Page::StepUp => 4,
        Page::Purchase => 5,
        Page::Alerts => 6,
        Page::Spending => 7,
    }
}

fn seal(store: &Store, payload: &[u8]) -> [u8; MAC_BYTES] {
    store.vault().index("h5.link", &[payload])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::stores;

    #[tokio::test]
    async fn a_ticket_reads_back_and_no_changed_bit_passes() {
        let test = stores().await.remove(0);
        let follower = FollowerKey::new([7; 16]);
        let ticket = Ticket::new(&test.store, &AccountId::new("card"), follower, Page::Bind, UnixMs(5));
        for about in ["", "card_unlock", &"长".repeat(85)] {
            let ticket = ticket.clone().about(about);
            assert_eq!(ticket.about, about);
            assert_eq!(Ticket::read(&test.store, &ticket.sign(&test.store)), Some(ticket));
        }
        assert_eq!(ticket.clone().about(&"x".repeat(256)).about, "");
        let text = ticket.about("T1").sign(&test.store);
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Ticket::read(&test.store, &URL_SAFE_NO_PAD.encode(changed)), None, "bit {bit}");
        }
        for text in ["", "AAAA", "%", &"A".repeat(1000)] {
            assert_eq!(Ticket::read(&test.store, text), None);
        }
    }
}
