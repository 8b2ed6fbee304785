//! Names of things. Those that point at a person cannot print themselves.

use std::fmt;
use std::sync::Arc;

/// The configured name of one official account, as in `/wechat/{account id}`. Not secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Wraps a configured id; configuration has checked its form (`[a-z0-9_-]`, 1 to 32 characters).
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares a text that identifies a person: compares and clones, never prints.
macro_rules! personal_id {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest accepted text, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// Wraps opaque text. `None` when it is empty, too long, or holds control characters.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let fits = !text.is_empty() && text.len() <= Self::BYTES_MAX;
                (fits && !text.chars().any(char::is_control)).then(|| Self(Arc::from(text)))
            }

            /// The text itself, for the one call that needs it. Never for a log.
            #[must_use]
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

personal_id!(
    /// A follower as WeChat names him towards one account. Opaque; its usual form is never enforced.
    Openid,
    128
);
personal_id!(
    /// The bank's reference of a customer, as binding stored it.
    CustomerId,
    64
);

/// A follower inside the house: keyed hash of (AppID, openid). Stable, safe to log, useless outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FollowerKey([u8; 16]);

impl FollowerKey {
    /// Wraps the 16 bytes of the blind index.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the column back; `None` when it is not 16 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The 16 bytes, for a column.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The partition 0 to 255 that owns this follower's outgoing work. Fixed for ever.
    #[must_use]
    pub fn part(&self) -> u8 {
        self.0[0]
    }
}

impl fmt::Display for FollowerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FollowerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The deduplication key of one push: `m:{MsgId}` for messages, else
/// `e:{CreateTime}:{sha256(FromUserName ‖ CreateTime ‖ Event ‖ EventKey ‖ MsgID)}` in hex. Unique per AppID for 7 days.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushKey(Arc<str>);

impl PushKey {
    /// Wraps an already formed key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(Arc::from(key))
    }

    /// The key as text, for a column.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
