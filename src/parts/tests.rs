use super::*;
use crate::store::testing::{TestStore, stores};

async fn owners(test: &TestStore) -> Vec<(String, i64)> {
    test.store.leases().await.unwrap().into_iter().map(|lease| (lease.owner, lease.epoch)).collect()
}

/// As if the owner had been silent for longer than a lease lives.
async fn expire(test: &TestStore, owner: &str) {
    let commit = Commit::new(0).with(test.store.renew_parts(owner, UnixMs(1)));
    test.store.commit(commit).await.unwrap();
}

#[test]
fn each_part_has_one_rightful_owner_and_only_the_share_of_a_leaver_moves() {
    let three: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let two: Vec<String> = ["a", "b"].map(str::to_owned).into();
    let mut counts = BTreeMap::new();
    for part in 0..=u8::MAX {
        let before = rightful(part, &three).unwrap();
        let after = rightful(part, &two).unwrap();
        assert!(before == after || before == "c", "part {part} moved without need");
        *counts.entry(before.clone()).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count > 50), "{counts:?}");
    assert_eq!(rightful(0, &[]), None);
}

#[tokio::test]
async fn the_first_instance_takes_everything_and_keeps_its_epoch_while_it_renews() {
    for test in stores().await {
        let first = Arc::new(Parts::new(test.store.clone()));
        assert!(first.begin(7).is_none(), "{}: nothing is held before the first round", test.name);
        assert_eq!(first.tend().await.unwrap(), 256);
        assert_eq!(first.held(), 256);
        first.state().renewed = None; // the next round renews
        assert_eq!(first.tend().await.unwrap(), 0);
        assert!(owners(&test).await.iter().all(|(owner, epoch)| owner == first.owner() && *epoch == 1));
    }
}

#[tokio::test]
async fn a_dead_owner_is_followed_under_a_new_epoch() {
    for test in stores().await {
        let dead = Parts::new(test.store.clone());
        dead.tend().await.unwrap();
        expire(&test, dead.owner()).await;
        let mut commit = Commit::new(0);
        commit.push(test.store.forget_instances(UnixMs(i64::MAX)));
        test.store.commit(commit).await.unwrap();
        let next = Parts::new(test.store.clone());
        assert_eq!(next.tend().await.unwrap(), 256, "{}", test.name);
        assert!(owners(&test).await.iter().all(|(owner, epoch)| owner == next.owner() && *epoch == 2));
        // The dead one wakes up: it renews nothing and finds that it holds nothing.
        dead.tend().await.unwrap();
        assert!(owners(&test).await.iter().all(|(_, epoch)| *epoch <= 3));
    }
}

#[tokio::test]
async fn instances_share_and_busy_parts_stay_until_their_work_ends() {
    for test in stores().await.into_iter().filter(|test| test.name == "postgres") {
        let first = Arc::new(Parts::new(test.store.clone()));
        first.tend().await.unwrap();
        let second = Parts::new(test.store.clone());
        assert_eq!(second.tend().await.unwrap(), 0, "a living owner keeps what it has");
        let busy: Vec<Working> = (0..=u8::MAX).filter_map(|part| first.begin(part)).collect();
        assert_eq!(busy.len(), 256);
        first.tend().await.unwrap();
        assert_eq!(first.held(), 256, "busy parts are not given back");
        drop(busy);
        first.tend().await.unwrap();
        let kept = first.held();
        assert!((64..=192).contains(&kept), "{kept}");
        assert_eq!(second.tend().await.unwrap(), 256 - kept);
        first.leave().await.unwrap();
        second.tend().await.unwrap();
        assert_eq!(second.held(), 256);
    }
}

#[tokio::test]
async fn work_stops_before_the_lease_ends() {
    for test in stores().await {
        let parts = Arc::new(Parts::new(test.store.clone()));
        parts.tend().await.unwrap();
        assert!(parts.begin(0).is_some());
        parts.state().renewed = Instant::now().checked_sub(WORK_UNTIL);
        assert!(parts.begin(0).is_none(), "{}", test.name);
        assert_eq!(parts.held(), 0);
    }
}
