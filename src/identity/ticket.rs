//! What a page link proves: that we made it, for whom, for which page, and until when.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::Page;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::store::Store;

const FORM: u8 = 1;
const MAC_BYTES: usize = 16;
/// Longest ticket that is looked at, in characters.
const CHARS_MAX: usize = 160;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) account: AccountId,
    pub(super) follower: FollowerKey,
    pub(super) page: Page,
    pub(super) expires: UnixMs,
    pub(super) nonce: [u8; 16],
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
        Self { account: account.clone(), follower, page, expires, nonce }
    }

    /// Base64url of: form, page, expiry, nonce, follower key, account id, keyed hash of all these.
    pub(super) fn sign(&self, store: &Store) -> String {
        let mut bytes = vec![FORM, page_byte(self.page)];
        bytes.extend(self.expires.0.to_be_bytes());
        bytes.extend(self.nonce);
        bytes.extend(self.follower.as_bytes());
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
        let (follower, account) = rest.split_first_chunk::<16>()?;
        Some(Self {
            account: AccountId::new(std::str::from_utf8(account).ok()?),
            follower: FollowerKey::new(*follower),
            page: Page::ALL.into_iter().find(|known| form == FORM && page_byte(*known) == page)?,
            expires: UnixMs(i64::from_be_bytes(*expires)),
            nonce: *nonce,
        })
    }
}

fn page_byte(page: Page) -> u8 {
    match page {
        Page::Bind => 1,
        Page::Apply => 2,
        Page::ApplyProgress => 3,
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
        let text = ticket.sign(&test.store);
        assert_eq!(Ticket::read(&test.store, &text), Some(ticket));
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
