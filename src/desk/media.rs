//! Pictures and voices, both ways. What customers send is fetched while WeChat has it (three days), checked by its
//! bytes, and sealed; what agents send is checked, uploaded, and sealed as well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Desk;
use super::actions::{Answered, check_answer_id, with_agent};
use super::by::By;
use super::error::DeskError;
use crate::staff::Session;
use crate::store::{Commit, CommitError, Conversation, Message, StoreError, StoredMedia, WantedMedia, Write};
use crate::wechat::api::{CustomMessage, Media, MediaFile, MediaKind, Typing, content_type_of};
use crate::wechat::errcode::Class;

/// How often files are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Files of one look.
const FETCHED_MAX: u32 = 8;
/// Another instance leaves a file alone for this long.
const LEASE: Duration = Duration::from_secs(60);
/// A file that could not be fetched so often is given up; the waits between grow to an hour.
const TRIES_MAX: i64 = 12;
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Entries before a case whose files are fetched when it opens.
const BEFORE_MAX: u32 = 50;
/// WeChat keeps what customers send this long.
const WECHAT_KEEPS: Duration = Duration::from_secs(3 * 24 * 3600);

impl Desk {
    /// A customer's entry with a file, while a case is open: the file is wanted.
    #[must_use]
    pub fn want_media(&self, conversation: &Conversation, seq: i64, media_id: &str) -> Vec<Write> {
        let want = || self.store.want_media(&conversation.account, conversation.follower, seq, media_id);
        conversation.case_id.is_some().then(want).into_iter().collect()
    }

    /// Files of the entries before a case that opens: what was shown to the bot.
    pub(super) async fn want_earlier_media(
        &self,
        conversation: &Conversation,
    ) -> Result<Vec<Write>, StoreError> {
        let (account, follower) = (&conversation.account, conversation.follower);
        let since = self.now() - WECHAT_KEEPS;
        let entries = self.store.messages_before(account, follower, i64::MAX, BEFORE_MAX).await?;
        let wanted = entries.iter().filter(|entry| entry.at >= since).filter_map(|entry| {
            let content: Value = serde_json::from_str(entry.content.reveal()).ok()?;
            let has_file = matches!(content["kind"].as_str()?, "image" | "voice");
            let media_id = content["media_id"].as_str().filter(|_| has_file)?;
            Some(self.store.want_media(account, follower, entry.seq, media_id))
        });
        Ok(wanted.collect())
    }

    /// The file of an entry, for who may see the case.
    ///
    /// # Errors
    /// [`DeskError::NoSuchCase`] also where there is no file.
    pub async fn media(&self, session: &Session, case_id: &str, seq: i64) -> Result<StoredMedia, DeskError> {
        let case = self.readable(session, case_id).await?;
        self.store.media(&case.account, case.follower, seq).await?.ok_or(DeskError::NoSuchCase)
    }

    /// Sends a picture. `answer_id` is the browser's key of it: the same key twice is one picture.
    ///
    /// # Errors
    /// As for an answer; [`DeskError::Unsendable`] for what is no picture that WeChat takes.
    pub async fn send_picture(
        &self,
        by: impl Into<By<'_>>,
        case_id: &str,
        answer_id: &str,
        bytes: Bytes,
    ) -> Result<i64, DeskError> {
        let By { session, receipt } = by.into();
        check_answer_id(answer_id)?;
        let case = self.reachable(session, case_id).await?;
        if let Some(seq) = self.store.desk_answer(case_id, answer_id).await? {
            return Ok(seq);
        }
        with_agent(&case, session)?;
        let file = MediaFile::new(MediaKind::Image, bytes.clone()).map_err(|_| DeskError::Unsendable)?;
        let content_type = content_type_of(&bytes).ok_or(DeskError::Unsendable)?;
        let api = self.apis.get(&case.account).ok_or(DeskError::Wechat)?;
        let media_id = api.media_upload(&file).await.map_err(|error| {
            tracing::warn!(account = %case.account, %error, "an agent's picture could not be uploaded; he is asked to try again");
            DeskError::Wechat
        })?;
        let content = json!({ "kind": "image", "media_id": media_id.as_str() });
        let message = CustomMessage::Image(media_id.clone());
        self.say(session, case_id, answer_id, &message, &content, |entry: &Message| {
            let sent = WantedMedia {
                account: entry.account.clone(),
                follower: entry.follower,
                seq: entry.seq,
                media_id: media_id.as_str().to_owned(),
                due: entry.at,
                tries: 0,
            };
            let mut writes = vec![self.store.put_media(&sent, content_type, &bytes)?];
            writes.extend(receipt.writes(Some(Answered { seq: entry.seq, masked: false }))?);
            Ok(writes)
        })
        .await
    }

    /// Shows the customer that his agent is typing, or is not any more. A wish that fails is no loss.
    ///
    /// # Errors
    /// When the case is not with this agent.
    pub async fn typing(&self, session: &Session, case_id: &str, is_typing: bool) -> Result<(), DeskError> {
        let case = self.reachable(session, case_id).await?;
        with_agent(&case, session)?;
        let Some(openid) = self.store.openid(&case.account, case.follower).await? else { return Ok(()) };
        let Some(api) = self.apis.get(&case.account) else { return Ok(()) };
        let shown = if is_typing { Typing::On } else { Typing::Off };
        if let Err(error) = api.typing(&openid, shown).await {
            tracing::debug!(account = %case.account, %error, "WeChat does not show that an agent is typing");
        }
        Ok(())
    }

    /// Fetches files until `stop`.
    pub async fn fetch_media(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.fetch_due_media().await {
                tracing::warn!(%error, "the database does not say which of the customers' files are wanted; looking again in half a second");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// One look. Tells how many files it settled.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn fetch_due_media(&self) -> Result<usize, StoreError> {
        let due = self.store.due_media(FETCHED_MAX).await?;
        let fetched = futures::future::try_join_all(due.iter().map(|wanted| self.fetch_one(wanted))).await?;
        Ok(fetched.into_iter().filter(|settled| *settled).count())
    }

    async fn fetch_one(&self, wanted: &WantedMedia) -> Result<bool, StoreError> {
        let minutes = u32::try_from(wanted.tries.saturating_mul(wanted.tries)).unwrap_or(u32::MAX);
        let wait = LEASE.saturating_mul(minutes.max(1)).min(WAIT_MAX);
        let lane = wanted.follower.part();
        let lease = Commit::new(lane).with(self.store.lease_media(wanted, self.now() + wait));
        match self.store.commit(lease).await {
            Ok(()) => {}
            Err(CommitError::Conflict(_)) => return Ok(false),
            Err(CommitError::Store(error)) => return Err(error),
        }
        let outcome = match self.apis.get(&wanted.account) {
            Some(api) => api.media_get(&wanted.media_id).await,
            None => return Ok(false),
        };
        let write = match outcome {
            Ok(Media::File { bytes, content_type }) => match kept_as(&bytes, &content_type) {
                Some(content_type) => self.store.keep_media(wanted, content_type, &bytes)?,
                // No picture and no voice, whatever it is called.
                None => self.store.lose_media(wanted),
            },
            Ok(Media::VideoAt(_)) => self.store.lose_media(wanted),
            Err(error)
                if wanted.tries + 1 >= TRIES_MAX
                    || matches!(error.class(), Class::Malformed | Class::Absent) =>
            {
                tracing::info!(account = %wanted.account, %error, "a customer's file cannot be fetched any more; agents see that it is missing");
                self.store.lose_media(wanted)
            }
            Err(error) => {
                tracing::debug!(account = %wanted.account, %error, tries = wanted.tries, retry = "later", "a customer's file could not be fetched yet");
                return Ok(false);
            }
        };
        match self.store.commit(Commit::new(lane).with(write)).await {
            Ok(()) => {
                self.notify(&wanted.account, wanted.follower);
                Ok(true)
            }
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}

/// What a customer's file is, by its first bytes. Speex, the other form of WeChat's voices, begins with nothing of its
/// own: what WeChat calls a voice is kept as bytes, to be downloaded and never shown.
fn kept_as(bytes: &[u8], called: &str) -> Option<&'static str> {
    let is_called_voice = ["voice/", "audio/"].iter().any(|kind| called.starts_with(kind));
    content_type_of(bytes).or(is_called_voice.then_some("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_what_a_file_is_and_an_unknown_voice_is_only_bytes() {
        for (bytes, called, kept) in [
            (&b"\x89PNG\r\n\x1A\n"[..], "text/html", Some("image/png")),
            (b"#!AMR\n", "image/png", Some("audio/amr")),
            (b"\x1a\x00speex", "voice/speex", Some("application/octet-stream")),
            (b"<script>", "audio/x-speex", Some("application/octet-stream")),
            (b"<script>", "text/html", None),
            (b"<svg/>", "image/svg+xml", None),
        ] {
            assert_eq!(kept_as(bytes, called), kept, "{called}");
        }
    }
}
