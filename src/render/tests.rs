use serde_json::json;

use super::*;

fn words() -> Words {
    let group = BTreeMap::from([("purchase".to_owned(), "消费".to_owned())]);
    BTreeMap::from([("transaction_type".to_owned(), group)])
}

fn render(source: &str, values: &serde_json::Value) -> Result<String, TextFault> {
    let mut texts = Texts::new(words());
    texts.add("t", source)?;
    let mut all = Values::new();
    all.extend(values);
    texts.render("t", &all)
}

#[test]
fn values_read_as_people_write_them() {
    let values = json!({
        "due": {"value": "-1234567.5", "currency": "CNY"}, "day": "2026-11-08", "month": "2026-01",
        "at": "2026-11-18T20:31:05Z", "card": {"last4": "1234"}, "points": 28640, "type": "purchase",
        "merchant": "很长很长的商户名称", "none": null, "rate": "13.03",
    });
    let table = [
        ("{{ due|money }} {{ due|currency }}", "-¥1,234,567.50 人民币"),
        (
            "{{ day|date }}/{{ day|day }}/{{ month|month }}/{{ at|time }}",
            "2026年11月8日/11月8日/2026年1月/11月19日 04:31",
        ),
        ("{{ card|tail }} {{ card.last4|tail }}", "尾号1234 尾号1234"),
        ("{{ points|number }} {{ rate|percent }}", "28,640 13.03%"),
        ("{{ type|word('transaction_type') }}", "消费"),
        ("{{ merchant|short(5) }}", "很长很长…"),
        ("{% if none %}x{% else %}空{% endif %}", "空"),
        ("{{ missing|default('无') }}", "无"),
        ("一\n{% if points > 1 %}\n二\n{% endif %}\n三 {% if none %}x{% endif %}\n四", "一\n二\n三 \n四"),
        ("{# 说明 #}\n一", "一"),
    ];
    for (source, text) in table {
        assert_eq!(render(source, &values).unwrap(), text, "{source}");
    }
}

#[test]
fn what_others_wrote_can_never_become_markup() {
    let hostile = json!({"name": "</a><a href=\"https://evil.example\">领奖</a>\u{202e}{{ 7 }}\u{200b}"});
    let text = render("您好，{{ name }}", &hostile).unwrap();
    assert_eq!(text, "您好，＜/a＞＜a href=\"https://evil.example\"＞领奖＜/a＞{{ 7 }}");
    let mut texts = Texts::new(words());
    texts.add("t", "{{ link }}").unwrap();
    let mut values = Values::new();
    values.set_markup("link", "<a href=\"https://bank.example\">打开</a>".to_owned());
    assert_eq!(texts.render("t", &values).unwrap(), "<a href=\"https://bank.example\">打开</a>");
}

#[test]
fn a_fault_names_its_place_and_what_to_do() {
    let values = json!({"amount": {"value": "1"}, "flag": true, "none": null, "type": "x"});
    let table = [
        ("好\n  {{ missing }}", 2, "a value is missing"),
        ("{{ none }}", 1, "the value is empty here"),
        ("{{ flag }}", 1, "only texts and whole numbers"),
        ("{{ amount|money }}", 1, "money wants an amount with its currency"),
        ("{{ type|word('transaction_type') }}", 1, "no word for \"x\""),
        ("{{ 1.5 }}", 1, "only texts and whole numbers"),
        ("a\n{% if x %}", 2, "syntax error"),
        ("{{ x", 1, "}} is missing"),
        ("{{ flag|safe }}", 1, "the filter \"safe\" is not offered"),
        ("{% include 'x' %}", 1, "the tag \"include\" is not offered"),
    ];
    for (source, line, message) in table {
        let fault = render(source, &values).unwrap_err();
        assert_eq!(fault.line, line, "{source}: {fault}");
        assert!(fault.message.contains(message), "{source}: {fault}");
    }
    let fault = render("一二{{ missing.x }}", &values).unwrap_err();
    assert_eq!((fault.line, fault.column), (1, 6), "{fault}");
}

#[test]
fn nothing_multiplies_text_and_loops_end() {
    for source in [
        "{{ 'a' * 100000000 }}",
        "{{ a ~ a }}",
        "{{ a + a }}",
        "{% set a = 1 %}",
        "{% macro f() %}{% endmacro %}",
        "{{ a|replace('a', 'b') }}",
        "{%- set a -%}x{%- endset -%}",
        "{{ '%}' * 3 }}",
    ] {
        assert!(render(source, &json!({"a": "a"})).unwrap_err().message.contains("not offered"), "{source}");
    }
    assert_eq!(render("{{ 'a * b' }}", &json!({})).unwrap(), "a * b");
    let many = json!({"list": vec!["x".repeat(200); 200]});
    let long = render("{% for a in list %}{{ a }}{% endfor %}", &many).unwrap_err();
    assert!(long.message.contains("write"), "{long}");
    let nested = "{% for a in list %}{% for b in list %}{% endfor %}{% endfor %}";
    assert!(render(nested, &many).unwrap_err().message.contains("too many steps"));
    assert!(render(&"x".repeat(9000), &json!({})).unwrap_err().message.contains("are allowed"));
}

#[test]
fn only_an_address_of_the_net_becomes_a_link() {
    let opens = |url: &str| render("{{ url|opens('看地图') }}", &json!({ "url": url })).unwrap();
    assert_eq!(opens("https://map.example/1,2;t"), "<a href=\"https://map.example/1,2;t\">看地图</a>");
    for url in ["https://x/\"><b", "javascript:1", "http://x", "weixin://x", "https://x y"] {
        assert!(!opens(url).contains("<a"), "{url}");
    }
}

#[test]
fn a_template_tells_what_it_wants() {
    let mut texts = Texts::new(words());
    texts.add("t", "{{ card.last4 }}{% for b in bills %}{{ b.month }}{% endfor %}{{ link }}").unwrap();
    let wants: Vec<String> = texts.wants("t").into_iter().collect();
    assert_eq!(wants, ["bills", "card.last4", "link"]);
    assert!(texts.wants_any_of("t", "card") && !texts.wants_any_of("t", "b"));
}
