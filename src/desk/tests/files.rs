//! Files, and hints from other instances.

use super::*;
use crate::desk::live::Found;
use crate::store::{StoredMedia, WantedMedia};

const PICTURE: &[u8] = b"\xFF\xD8\xFFa picture of somebody";

#[tokio::test]
async fn a_file_is_kept_sealed_with_its_hash_and_gone_with_its_follower() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        desk.claim(&me, &case_id).await.unwrap();
        let conversation = test.store.conversation(&account(), follower(1)).await.unwrap();
        let mut commit = Commit::new(0);
        commit.extend(desk.want_media(&conversation, 1, "media-1"));
        commit.extend(desk.want_media(&conversation, 2, "media-2"));
        test.store.commit(commit).await.unwrap();
        assert!(matches!(desk.media(&me, &case_id, 1).await.unwrap(), StoredMedia::Wanted));
        assert!(matches!(desk.media(&me, &case_id, 9).await, Err(DeskError::NoSuchCase)));

        // Of two instances one fetches it.
        let due = test.store.due_media(8).await.unwrap();
        assert_eq!(due.len(), 2, "{}", test.name);
        let until = test.store.clock().now() + Duration::from_secs(60);
        let lease = |wanted: &WantedMedia| Commit::new(0).with(test.store.lease_media(wanted, until));
        test.store.commit(lease(&due[0])).await.unwrap();
        assert!(test.store.commit(lease(&due[0])).await.is_err(), "{}", test.name);
        assert_eq!(test.store.due_media(8).await.unwrap().len(), 1);

        let keep = test.store.keep_media(&due[0], "image/jpeg", PICTURE).unwrap();
        test.store.commit(Commit::new(0).with(keep).with(test.store.lose_media(&due[1]))).await.unwrap();
        match desk.media(&me, &case_id, 1).await.unwrap() {
            StoredMedia::Kept { content_type, bytes } => {
                assert_eq!((content_type.as_str(), &bytes[..]), ("image/jpeg", PICTURE));
            }
            _ => panic!("it is kept: {}", test.name),
        }
        assert!(matches!(desk.media(&me, &case_id, 2).await.unwrap(), StoredMedia::Lost));
        let other = agent("agent02");
        assert!(
            matches!(desk.media(&other, &case_id, 1).await, Err(DeskError::NoSuchCase)),
            "not his to see"
        );
        let bytes = test.file_bytes();
        assert!(!bytes.windows(11).any(|part| part == b"of somebody"), "unreadable at rest");

        test.store
            .commit(Commit::new(0).with(test.store.erase_media(&account(), follower(1))))
            .await
            .unwrap();
        assert!(matches!(desk.media(&me, &case_id, 1).await, Err(DeskError::NoSuchCase)));
    }
}

#[tokio::test]
async fn only_pictures_that_wechat_takes_are_sent_and_only_by_the_owner() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        let send = async |who: &Session, bytes: &'static [u8]| {
            desk.send_picture(who, &case_id, "k", bytes::Bytes::from_static(bytes)).await
        };
        assert!(matches!(send(&me, b"\xFF\xD8\xFF").await, Err(DeskError::NotYours)));
        desk.claim(&me, &case_id).await.unwrap();
        for bytes in [&b""[..], b"<svg onload=alert(1)>", b"MZ\x90", b"#!AMR\nvoice"] {
            assert!(matches!(send(&me, bytes).await, Err(DeskError::Unsendable)), "{}", test.name);
        }
        // A desk without WeChat says so, and nothing is in the log.
        assert!(matches!(send(&me, b"\xFF\xD8\xFFpicture").await, Err(DeskError::Wechat)));
        assert_eq!(said(&test).await, 0);
    }
}

#[tokio::test]
async fn what_one_instance_changes_the_screens_of_another_learn_once() {
    for test in stores().await {
        let (here, there) = (desk(&test, ALWAYS), desk(&test, ALWAYS));
        let mut found = Found::default();
        let told = async |found: &mut Found| there.look(found).await.unwrap().len();
        assert_eq!(told(&mut found).await, 0);
        let case_id = waiting_case(&test, &here, follower(1)).await;
        assert_eq!((told(&mut found).await, told(&mut found).await), (1, 0), "{}", test.name);
        let me = agent("agent01");
        test.clock.advance(Duration::from_millis(50));
        here.claim(&me, &case_id).await.unwrap();
        assert_eq!((told(&mut found).await, told(&mut found).await), (1, 0), "taken");
        for step in 0..4 {
            test.clock.advance(Duration::from_millis(50));
            match step {
                0 => drop(here.answer(&me, &case_id, "k", "您好").await.unwrap()),
                1 => drop(customer_writes(&test, &here, follower(1), "在", Wish::Talk).await),
                2 => drop(here.write_note(&me, &case_id, "备注").await.unwrap()),
                _ => here.close(&me, &case_id, None).await.unwrap(),
            }
            assert_eq!(told(&mut found).await, 1, "step {step}: {}", test.name);
        }
        test.clock.advance(Duration::from_secs(10));
        assert_eq!(told(&mut found).await, 0);
    }
}

#[tokio::test]
async fn an_instance_that_has_just_started_sends_what_is_said_to_its_agent_only() {
    for test in stores().await {
        sign_in(&test, "agent01").await;
        let (here, started) = (desk(&test, ALWAYS), desk(&test, ALWAYS));
        let case_id = waiting_case(&test, &here, follower(1)).await;
        here.claim(&agent("agent01"), &case_id).await.unwrap();
        test.clock.advance(Duration::from_secs(60));

        started.learn_owners().await.unwrap();
        customer_writes(&test, &here, follower(1), "在吗", Wish::Talk).await;
        let hints = started.look(&mut Found::default()).await.unwrap();
        let owners: Vec<Option<&str>> = hints.iter().map(|hint| hint.owner.as_deref()).collect();
        assert_eq!(owners, [Some("agent01")], "{}", test.name);
    }
}
