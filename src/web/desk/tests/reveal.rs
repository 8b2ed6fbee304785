//! Beyond the mask: who may look, and what is kept of it.

use super::*;
use crate::store::testing;

async fn bound(test: &TestStore) {
    let binding = testing::bound("C10001", "张*", test.store.clock().now());
    let write = test.store.add_binding(&AccountId::new("card"), who(), &binding).unwrap();
    test.store.commit(Commit::new(0).with(write)).await.unwrap();
}

fn form(browser: &Browser, case_id: &str, purpose: &str) -> TestRequest {
    let form =
        [("csrf", browser.csrf.as_str()), ("case", case_id), ("purpose", purpose), ("note", "电话核对")];
    TestRequest::post()
        .uri("/desk/reveal")
        .cookie(browser.cookie.clone())
        .insert_header(("sec-fetch-site", "same-origin"))
        .set_form(form)
}

async fn revealed(test: &TestStore) -> Vec<Value> {
    let lines = test.store.audit_lines(None, 100).await.unwrap();
    let revealed = lines.into_iter().filter(|line| line.action == "customer_revealed");
    revealed
        .map(|line| {
            json!([line.actor, serde_json::from_str::<Value>(line.detail.unwrap().reveal()).unwrap()])
        })
        .collect()
}

#[actix_web::test]
async fn a_customer_s_number_is_shown_for_a_purpose_to_who_has_the_case_and_is_kept_in_the_trail() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        rooms.staff.add_account("chief", Role::Supervisor, &Secret::new(PASSWORD.to_owned())).await.unwrap();
        let server = server!(&rooms);
        bound(&test).await;
        let case_id = waiting(&test, &rooms.desk, &["转人工"]).await;
        let (one, two) = (Browser::new(&rooms, "agent01").await, Browser::new(&rooms, "agent02").await);
        let chief = Browser::new(&rooms, "chief").await;
        let view = call_service(&server, one.get(&format!("/desk/api/cases/{case_id}")).to_request()).await;
        let view = String::from_utf8(read_body(view).await.to_vec()).unwrap();
        assert!(view.contains("张*") && !view.contains("C10001"), "masked: {view}");

        // Waiting: nobody's yet.
        let early = call_service(&server, form(&one, &case_id, "identify").to_request()).await;
        assert_eq!(early.status(), 409);
        let claim = one.post(&format!("/desk/api/cases/{case_id}/claim"), json!({}));
        assert_eq!(call_service(&server, claim.to_request()).await.status(), 200);
        for (browser, purpose, status) in [(&two, "identify", 404), (&one, "", 422), (&one, "curiosity", 422)]
        {
            let refused = call_service(&server, form(browser, &case_id, purpose).to_request()).await;
            assert_eq!(refused.status(), status, "{purpose}");
        }
        let forged = form(&one, &case_id, "identify").insert_header(("sec-fetch-site", "cross-site"));
        assert_eq!(call_service(&server, forged.to_request()).await.status(), 403);
        assert_eq!(revealed(&test).await, Vec::<Value>::new(), "{}", test.name);

        let ask = call_service(&server, one.get(&format!("/desk/reveal?case={case_id}")).to_request()).await;
        let ask = String::from_utf8(read_body(ask).await.to_vec()).unwrap();
        assert!(ask.contains("核实身份") && !ask.contains("C10001"), "{ask}");
        for browser in [&one, &chief] {
            let page = call_service(&server, form(browser, &case_id, "identify").to_request()).await;
            assert_eq!(page.status(), 200);
            assert_eq!(page.headers().get("cache-control").unwrap(), "no-store");
            let page = String::from_utf8(read_body(page).await.to_vec()).unwrap();
            assert!(page.contains("C10001") && page.contains("金卡 1234"), "{page}");
            let name = if std::ptr::eq(browser, &one) { "agent01 2026-11-22" } else { "chief 2026-11-22" };
            assert_eq!(page.matches(name).count(), WATERMARKS, "the reader's name lies across it");
            test.clock.advance(std::time::Duration::from_millis(1));
        }
        let detail = json!({ "case_id": case_id, "purpose": "identify", "note": "电话核对", "found": true });
        assert_eq!(revealed(&test).await, [json!(["chief", detail]), json!(["agent01", detail])]);

        let close = one.post(&format!("/desk/api/cases/{case_id}/close"), json!({ "reason": "solved" }));
        assert_eq!(call_service(&server, close.to_request()).await.status(), 200);
        let late = call_service(&server, form(&one, &case_id, "identify").to_request()).await;
        assert_eq!(late.status(), 409, "the case is over");
        assert!(test.store.verify_audit().await.unwrap().faults.is_empty());
    }
}

#[actix_web::test]
async fn administrators_of_the_whole_house_read_the_trail_and_who_takes_it_out_stands_in_it() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let password = Secret::new(PASSWORD.to_owned());
        rooms.staff.add_account("root", Role::Admin, &password).await.unwrap();
        let reach = crate::staff::Reach::of([AccountId::new("card")]);
        rooms.staff.add_account_for("clerk", Role::Admin, &reach, &password).await.unwrap();
        let server = server!(&rooms);
        for (name, status) in [("agent01", 403), ("clerk", 403), ("root", 200)] {
            let browser = Browser::new(&rooms, name).await;
            for path in ["/desk/audit", "/desk/audit.csv"] {
                assert_eq!(
                    call_service(&server, browser.get(path).to_request()).await.status(),
                    status,
                    "{name}"
                );
            }
        }
        let door = call_service(&server, TestRequest::get().uri("/desk/audit").to_request()).await;
        assert_eq!(door.headers().get("location").unwrap(), "/desk/sign-in");

        let root = Browser::new(&rooms, "root").await;
        let file = call_service(&server, root.get("/desk/audit.csv").to_request()).await;
        assert_eq!(file.headers().get("content-type").unwrap(), "text/csv; charset=utf-8");
        let file = String::from_utf8(read_body(file).await.to_vec()).unwrap();
        let rows: Vec<&str> = file.lines().collect();
        assert!(rows.iter().any(|row| row.contains("root,audit_taken_out")), "{file}");
        assert!(rows[1..].iter().all(|row| row.ends_with("root 2026-11-22 10:00")), "{file}");

        let line =
            test.store.audit("<script>alert(1)</script>", "a", &AccountId::new(""), None, None).unwrap();
        let mut commit = Commit::new(0).with(line);
        for number in 0..150 {
            commit.push(
                test.store.audit("x", &format!("did_{number}"), &AccountId::new(""), None, None).unwrap(),
            );
        }
        test.store.commit(commit).await.unwrap();
        let mut path = "/desk/audit".to_owned();
        let mut seen = String::new();
        for _ in 0..2 {
            let page = call_service(&server, root.get(&path).to_request()).await;
            let page = String::from_utf8(read_body(page).await.to_vec()).unwrap();
            assert!(page.contains("root 2026-11-22") && !page.contains("<script>alert"));
            if let Some((_, rest)) = page.split_once("<p><a href=\"/desk/audit?") {
                path = format!("/desk/audit?{}", rest.split('"').next().unwrap().replace("&#38;", "&"));
            }
            seen.push_str(&page);
        }
        for number in 0..150 {
            assert_eq!(
                seen.matches(&format!("<td>did_{number}</td>")).count(),
                1,
                "{number} on {}",
                test.name
            );
        }
    }
}

#[actix_web::test]
async fn no_form_is_taken_from_a_foreign_page_or_without_the_session_s_token() {
    let test = stores().await.remove(0);
    let rooms = rooms(&test).await;
    let server = server!(&rooms);
    let case_id = waiting(&test, &rooms.desk, &["转人工"]).await;
    let browser = Browser::new(&rooms, "agent01").await;
    let claim = browser.post(&format!("/desk/api/cases/{case_id}/claim"), json!({}));
    assert_eq!(call_service(&server, claim.to_request()).await.status(), 200);
    for path in ["/desk/sign-in", "/desk/second-step", "/desk/sign-out", "/desk/reveal"] {
        for (site, csrf) in
            [("cross-site", browser.csrf.as_str()), ("same-site", &browser.csrf), ("same-origin", "0")]
        {
            if path == "/desk/sign-in" && site == "same-origin" {
                continue;
            }
            let fields = [
                ("csrf", csrf),
                ("name", "agent01"),
                ("password", PASSWORD),
                ("code", "123456"),
                ("case", &case_id),
                ("purpose", "identify"),
            ];
            let forged = TestRequest::post()
                .uri(path)
                .peer_addr("192.0.2.9:4711".parse().unwrap())
                .cookie(browser.cookie.clone())
                .insert_header(("sec-fetch-site", site))
                .set_form(fields);
            let answer = call_service(&server, forged.to_request()).await;
            assert_eq!(answer.status(), 403, "{path} from {site}");
            assert!(answer.response().cookies().all(|cookie| cookie.name() != SESSION_COOKIE), "{path}");
        }
    }
    assert_eq!(call_service(&server, browser.get("/desk/api/mine").to_request()).await.status(), 200);
    assert_eq!(revealed(&test).await, Vec::<Value>::new());
}
