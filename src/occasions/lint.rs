//! What platform or law forbids in a notice or an offer, found before a customer reads it. Each fault names its rule.

use toml::Spanned;

use crate::content::{Content, Fault, File, line_of};

/// Where a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a template message, which may hold nothing but the service that it tells of.
    Notice,
    /// Beside a purchase, or in an answer: an advert to somebody who asked for adverts.
    Offer,
}

/// One rule: words that may not be there.
struct Rule {
    name: &'static str,
    /// Whose rule it is.
    basis: &'static str,
    in_offers: bool,
    words: &'static [&'static str],
}

const RULES: [Rule; 4] = [
    Rule {
        name: "no-adverts-in-notices",
        basis: "WeChat's rules of template messages (errcode 40249): a notice tells of the service, and holds no advert or coupon",
        in_offers: false,
        words: &[
            "优惠",
            "代金券",
            "红包",
            "抽奖",
            "秒杀",
            "限时",
            "特惠",
            "折扣",
            "满减",
            "立减",
            "返现",
            "领取",
            "免费领",
            "抢购",
            "促销",
            "福利",
            "赠送",
            "有礼",
            "好礼",
            "礼品",
            "专享",
            "特价",
            "大促",
            "超值",
            "立即办理",
            "诚邀",
            "推荐您",
            "分期低至",
        ],
    },
    Rule {
        name: "no-share-to-earn",
        basis: "WeChat's rules of inducing to share (诱导分享)",
        in_offers: true,
        words: &[
            "分享",
            "转发",
            "朋友圈",
            "邀请好友",
            "邀好友",
            "拉新",
            "集赞",
            "点赞",
            "助力",
            "砍价",
            "拼团",
            "关注后",
            "关注即",
        ],
    },
    Rule {
        name: "no-promise-of-return",
        basis: "Advertising Law of the PRC, article 25: no promise of a future return, nor of its safety",
        in_offers: true,
        words: &[
            "保本",
            "保收益",
            "保息",
            "稳赚",
            "必赚",
            "包赚",
            "躺赚",
            "稳赢",
            "无风险",
            "零风险",
            "没有风险",
            "保证收益",
            "预期收益",
            "收益率",
            "年化收益",
            "高收益",
            "高回报",
            "刚性兑付",
        ],
    },
    Rule {
        name: "no-superlatives",
        basis: "Advertising Law of the PRC, article 9: no superlatives",
        in_offers: true,
        words: &[
            "国家级",
            "最高级",
            "最佳",
            "最好",
            "最低价",
            "最便宜",
            "全网最低",
            "行业第一",
            "全国第一",
            "第一品牌",
            "顶级",
            "绝无仅有",
            "史上",
        ],
    },
];

const ANNUAL_RATE_FIRST: (&str, &str) = (
    "annual-rate-first",
    "People's Bank of China, announcement 3 of 2021: who offers credit shows the highest annual rate, before any other rate",
);
/// A text with one of these offers credit.
const CREDIT: [&str; 9] = ["分期", "借款", "贷款", "借钱", "现金借", "利率", "利息", "费率", "手续费"];
/// Where a rate or a price of credit is told.
const RATES: [&str; 9] = ["%", "％", "万分之", "利率", "费率", "利息", "日息", "月息", "手续费"];
const ANNUAL_RATE: &str = "年化利率";

/// Every fault of one text.
pub(super) fn text(file: &File, text: &Spanned<String>, place: Place) -> Vec<Fault> {
    let start = text.span().start;
    let block = file.text.get(start..).is_some_and(|rest| rest.starts_with("\"\"\"\n"));
    let first = line_of(&file.text, start) + usize::from(block);
    let mut faults = Vec::new();
    for (number, line) in text.get_ref().lines().enumerate() {
        faults.extend(in_line(line, place).map(|message| Fault::new(&file.origin, first + number, message)));
    }
    faults
}

/// The texts of the notices themselves: what stands where the bank gave nothing.
pub(super) fn notices(content: &Content) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (_, file) in content.below("notices").filter(|(path, _)| path.matches('/').count() == 1) {
        for (number, line) in file.text.lines().enumerate() {
            let said = line.split('#').next().unwrap_or_default();
            faults.extend(
                in_line(said, Place::Notice).map(|message| Fault::new(&file.origin, number + 1, message)),
            );
        }
    }
    faults
}

/// A fault of an offer's texts as they are read one after the other: credit without its annual rate before all else.
pub(super) fn annual_rate(texts: &[&str]) -> Option<String> {
    let whole = plain(&texts.join("\n"));
    let offers_credit = CREDIT.iter().any(|word| whole.contains(word));
    let (name, basis) = ANNUAL_RATE_FIRST;
    let fault = |what: &str| Some(format!("{name}: {what} ({basis})"));
    if !offers_credit {
        return None;
    }
    let Some(at) = whole.find(ANNUAL_RATE) else {
        return fault("this offers credit and does not tell its 年化利率");
    };
    if let Some(rate) = RATES.iter().find(|rate| whole.find(**rate).is_some_and(|other| other < at)) {
        return fault(&format!("{rate:?} stands before 年化利率"));
    }
    let told: String = whole.get(at + ANNUAL_RATE.len()..).unwrap_or_default().chars().take(24).collect();
    let rates = told.matches(['%', '％']).count();
    if rates == 0 {
        return fault("after 年化利率 there is no rate such as 最高18.25%");
    }
    let names_highest =
        told.contains("最高") || whole.get(..at).is_some_and(|before| before.ends_with("最高"));
    if told.contains(['-', '~', '起']) || told.contains("至") {
        return if names_highest {
            None
        } else {
            fault("a range of rates does not begin with the highest: write 年化利率最高18.25%")
        };
    }
    None
}

/// The first rule that a line breaks.
fn in_line(line: &str, place: Place) -> Option<String> {
    let line = plain(line);
    RULES.iter().filter(|rule| rule.in_offers || place == Place::Notice).find_map(|rule| {
        let word = rule.words.iter().find(|word| line.contains(**word))?;
        Some(format!("{}: {word:?} ({})", rule.name, rule.basis))
    })
}

/// Without what could hide a word: white space, signs between characters, and marks without width.
fn plain(text: &str) -> String {
    let hides = |character: &char| {
        !character.is_whitespace()
            && !character.is_control()
            && !matches!(character, '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' | '·' | '*' | '_' | '|')
    };
    text.chars().filter(hides).collect()
}
