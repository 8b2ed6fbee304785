//! How personal values are written when a push, a reply or a message is stored. What comes out is readable: whoever
//! stores it seals it first.

/// For fields of type `Personal`.
pub(crate) mod personal {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::secret::Personal;

    pub(crate) fn serialize<S: Serializer>(value: &Personal, serializer: S) -> Result<S::Ok, S::Error> {
        value.reveal().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Personal, D::Error> {
        String::deserialize(deserializer).map(Personal::new)
    }
}

/// For fields of type `Option<Personal>`; they also need `#[serde(default)]`.
pub(crate) mod maybe_personal {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::secret::Personal;

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Personal>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Personal::reveal).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Personal>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Personal::new))
    }
}

/// For fields of type `Openid`.
pub(crate) mod openid {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::domain::ids::Openid;

    pub(crate) fn serialize<S: Serializer>(value: &Openid, serializer: S) -> Result<S::Ok, S::Error> {
        value.reveal().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Openid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Openid::parse(&text).ok_or_else(|| de::Error::custom("not an openid"))
    }
}

/// For fields of type `Option<Openid>`; they also need `#[serde(default)]`.
pub(crate) mod maybe_openid {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::ids::Openid;

    pub(crate) fn serialize<S: Serializer>(value: &Option<Openid>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Openid::reveal).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Openid>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.as_deref().and_then(Openid::parse))
    }
}

/// For fields of type `PushKey`.
pub(crate) mod push_key {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::ids::PushKey;

    pub(crate) fn serialize<S: Serializer>(value: &PushKey, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_str().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PushKey, D::Error> {
        String::deserialize(deserializer).map(|text| PushKey::new(&text))
    }
}
