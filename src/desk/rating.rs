//! What the customer thought of it: asked once at the end of a talk, where the window still lets something through.

use serde_json::json;

use super::Desk;
use crate::domain::case::{CloseReason, Rating, Score};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::window::Sender;
use crate::store::{Case, Channel, Conversation, Direction, Message, StoreError, Write};
use crate::wechat::api::{CustomMessage, MenuItem};

const QUESTION: &str = "感谢您的咨询，本次服务您还满意吗？点一下即可：";
const ANSWERS: [(&str, i64); 3] = [("满意", 5), ("一般", 3), ("不满意", 1)];

impl Desk {
    /// Notes what the customer thought. The first word stands; a case that is not his is not touched.
    #[must_use]
    pub fn rate(&self, account: &AccountId, follower: FollowerKey, rating: &Rating) -> Vec<Write> {
        vec![self.store.rate_case(account, follower, &rating.case_id, rating.score, self.now())]
    }

    /// The question, unless nothing may be sent or there was nothing to be satisfied with.
    pub(super) fn ask_rating(
        &self,
        case: &Case,
        conversation: &mut Conversation,
        reason: Option<CloseReason>,
    ) -> Result<Vec<Write>, StoreError> {
        let talked = case.first_reply.is_some() && reason != Some(CloseReason::NotForUs);
        let allowed = conversation.ledger.draw(Sender::Rating, false, self.now()).is_ok();
        if !talked || !allowed || case.score.is_some() {
            return Ok(vec![]);
        }
        let item = |(content, points): (&str, i64)| {
            let rating = Rating { case_id: case.case_id.clone(), score: Score::new(points)? };
            Some(MenuItem { id: rating.to_tap(), content: content.to_owned() })
        };
        let items = ANSWERS.into_iter().filter_map(item).collect();
        let question = CustomMessage::Menu { head: Some(QUESTION.to_owned()), items, tail: None };
        let seq = conversation.next_seq();
        let mut writes = vec![self.store.append_message(
            conversation,
            &Message {
                account: case.account.clone(),
                follower: case.follower,
                seq,
                direction: Direction::Out,
                author: "system".to_owned(),
                channel: Channel::CustomerService,
                content: Personal::new(json!({ "kind": "rating", "text": QUESTION }).to_string()),
                at: self.now(),
                state: "queued".to_owned(),
            },
        )?];
        writes.extend(self.speak.say(&case.account, case.follower, Sender::Rating, seq, &question)?);
        Ok(writes)
    }
}
