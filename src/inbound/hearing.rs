//! A voice message without words: fetched from WeChat, heard by the bank's own recogniser, and from then on like text.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::scene::{log_content, mask, masked};
use super::turn::Turn;
use super::{Inbound, Stopped};
use crate::bank::recogniser::{BadRecogniser, Recogniser};
use crate::clock::{SharedClock, SharedRandom};
use crate::config::{self, Band};
use crate::dialogue::Said;
use crate::domain::ids::AccountId;
use crate::domain::secret::Personal;
use crate::outbound::Apis;
use crate::store::{Commit, OpenPush};
use crate::wechat::api::{Media, MediaKind, content_type_of};
use crate::wechat::push::Content;

/// Recordings in memory at once; each is at most as large as WeChat lets one be.
const RECORDINGS_MAX: usize = 32;
/// Entries of the log among which a voice message is looked for.
const ENTRIES_MAX: u32 = 50;

/// The way from a voice message to its words.
pub struct Hearing {
    recogniser: Recogniser,
    band: Band,
    apis: Arc<Apis>,
    places: Semaphore,
}

impl Hearing {
    /// The recogniser of `[asr]`, and the accounts whose recordings it hears.
    ///
    /// # Errors
    /// See [`BadRecogniser`].
    pub fn new(
        settings: &config::Asr,
        apis: Arc<Apis>,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, BadRecogniser> {
        let recogniser = Recogniser::new(settings, clock, random)?;
        let (band, places) = (settings.band, Semaphore::new(RECORDINGS_MAX));
        Ok(Self { recogniser, band, apis, places })
    }

    /// What a recording says; `None`: nothing that could be made out. The log tells why.
    async fn words(&self, account: &AccountId, media_id: &str) -> Option<Personal> {
        let _place = self.places.acquire().await.ok()?;
        let (outcome, words) = self.listen(account, media_id).await;
        metrics::counter!("weikefu_asr_total", "outcome" => outcome).increment(1);
        words
    }

    async fn listen(&self, account: &AccountId, media_id: &str) -> (&'static str, Option<Personal>) {
        const NO_RECORDING: (&str, Option<Personal>) = ("no_recording", None);
        let Some(api) = self.apis.get(account) else { return NO_RECORDING };
        let recording = match api.media_get(media_id).await {
            Ok(Media::File { bytes, .. }) => bytes,
            Ok(Media::VideoAt(_)) => return NO_RECORDING,
            Err(error) => {
                tracing::warn!(%account, %error, "a voice message could not be fetched; the customer is asked to type");
                return NO_RECORDING;
            }
        };
        let content_type =
            content_type_of(&recording).filter(|content_type| content_type.starts_with("audio/"));
        let Some(content_type) = content_type.filter(|_| recording.len() <= MediaKind::Voice.bytes_max())
        else {
            let bytes = recording.len();
            tracing::warn!(%account, bytes, "a voice message is no AMR or MP3, or too large; the customer is asked to type");
            return NO_RECORDING;
        };
        let began = Instant::now();
        let heard = self.recogniser.hear(recording, content_type).await;
        metrics::histogram!("weikefu_asr_seconds").record(began.elapsed());
        match heard {
            Ok(words) if words.reveal().trim().is_empty() => ("nothing", None),
            Ok(words) => ("heard", Some(words)),
            Err(error) => {
                tracing::warn!(%account, %error, "the bank's recogniser did not hear a voice message; the customer is asked to type");
                (error.class(), None)
            }
        }
    }
}

/// WeChat's names of the recordings of a voice message.
pub(super) struct Recordings<'t> {
    /// By which the message is known.
    named: &'t str,
    /// The one for the recogniser.
    heard: &'t str,
}

impl Inbound {
    /// The way to the words of a voice message that came without, where the bank has a recogniser; and its recordings.
    pub(super) fn unheard<'t>(&self, turn: &'t Turn<'_>) -> Option<(&Hearing, Recordings<'t>)> {
        let hearing = self.rooms.hearing.as_ref()?;
        match (&turn.question.said, &turn.push.content) {
            (Said::Voice { recognition: None }, Content::Voice { media_id, media_id_16k, .. }) => {
                let wide = media_id_16k.as_deref().filter(|_| hearing.band == Band::Wide);
                Some((hearing, Recordings { named: media_id, heard: wide.unwrap_or(media_id) }))
            }
            _ => None,
        }
    }

    /// Puts its words into a voice message that came without, while the lease is kept alive. Without words the turn goes
    /// on as it is. `None`: the push has another owner now.
    pub(super) async fn hear(&self, turn: &mut Turn<'_>, ours: &mut OpenPush) -> Result<Option<()>, Stopped> {
        let Some((hearing, Recordings { named, heard })) = self.unheard(turn) else { return Ok(Some(())) };
        let (account, media_id, heard) =
            (turn.question.account.id.clone(), named.to_owned(), heard.to_owned());
        let Some(heard) = self.keep(ours, hearing.words(&account, &heard)).await? else {
            return Ok(None);
        };
        let Some(words) = heard else { return Ok(Some(())) };
        let (words, found) = masked(&words);
        turn.question.masked |= found;
        turn.question.said = Said::Voice { recognition: Some(words) };
        mask(&mut turn.push, &turn.question.said);
        if let Err(error) = self.write_down(turn, &media_id).await {
            tracing::warn!(%account, %error, "the words of a voice message could not be noted; agents hear it only");
        }
        Ok(Some(()))
    }

    /// Notes the words beside the voice message in the log, for the people who read it.
    async fn write_down(&self, turn: &Turn<'_>, media_id: &str) -> Result<(), Stopped> {
        let (store, account, follower) =
            (&self.rooms.store, &turn.question.account.id, turn.question.follower);
        let entries = store.messages_before(account, follower, i64::MAX, ENTRIES_MAX).await?;
        let of_it = |content: &Personal| {
            let content: serde_json::Value = serde_json::from_str(content.reveal()).unwrap_or_default();
            content["media_id"].as_str() == Some(media_id)
        };
        let Some(entry) = entries.into_iter().rev().find(|entry| of_it(&entry.content)) else {
            return Ok(());
        };
        let words = store.set_message_content(account, follower, entry.seq, &log_content(&turn.push))?;
        store.commit(Commit::new(follower.part()).with(words)).await?;
        Ok(())
    }
}
