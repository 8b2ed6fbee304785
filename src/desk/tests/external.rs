//! Two houses: agents here and agents of another system never have each other's cases.

use super::*;

#[tokio::test]
async fn nobody_here_sees_gets_or_keeps_the_cases_of_another_system() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS).leaving([account()]);
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        let outsider = desk.outsider(&account(), "A1").unwrap();
        let boss = Session { role: Role::Supervisor, ..agent("boss") };
        for own in [agent("A1"), boss] {
            assert!(matches!(desk.open(&own, &case_id).await, Err(DeskError::NoSuchCase)), "{}", test.name);
            assert!(matches!(desk.claim(&own, &case_id).await, Err(DeskError::NoSuchCase)), "{}", test.name);
        }
        sign_in(&test, "ready01").await;
        let ready = crate::store::DeskAgent { ready: true, ..Default::default() };
        desk.set_agent(&agent("ready01"), "ready01", ready).await.unwrap();
        assert_eq!(desk.assign(&account()).await.unwrap(), 0, "{}", test.name);
        desk.claim(&outsider, &case_id).await.unwrap();
        desk.answer(&outsider, &case_id, "k", "您好").await.unwrap();
        assert!(customer_writes(&test, &desk, follower(1), "在吗", Wish::Talk).await);

        test.clock.advance(Duration::from_secs(3600));
        assert_eq!(
            desk.tend(&account()).await.unwrap(),
            Tended::default(),
            "{}: his system knows",
            test.name
        );
        let case = test.store.case(&case_id).await.unwrap().unwrap();
        assert_eq!(case.claimed_by.as_deref(), Some("external:A1"));
        assert!(desk.open(&desk.outside(&account()), &case_id).await.is_ok());

        let elsewhere = desk.outsider(&AccountId::new("loan"), "A1").unwrap();
        assert!(matches!(desk.open(&elsewhere, &case_id).await, Err(DeskError::NoSuchCase)));
        for name in ["", "a\nb", &"长".repeat(65)] {
            assert!(desk.outsider(&account(), name).is_err(), "{name:?}");
        }
    }
}
