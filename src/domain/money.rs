//! Money: integer minor units with their currency. No float comes near it.

use std::fmt;

/// An ISO 4217 currency that cards are billed in. A closed table: an unknown code is refused, not guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(&'static Entry);

#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Entry {
    code: &'static str,
    decimals: u8,
    symbol: &'static str,
    name: &'static str,
}

macro_rules! currencies {
    ($($code:literal $decimals:literal $symbol:literal $name:literal;)*) => {
        static TABLE: &[Entry] = &[$(Entry { code: $code, decimals: $decimals, symbol: $symbol, name: $name }),*];
    };
}

// ISO 4217 active codes with their minor units. Symbols only where one is plain to Chinese readers.
currencies! {
    "AED" 2 "" "阿联酋迪拉姆"; "AFN" 2 "" "阿富汗尼"; "ALL" 2 "" "列克"; "AMD" 2 "" "德拉姆"; "AOA" 2 "" "宽扎";
    "ARS" 2 "" "阿根廷比索"; "AUD" 2 "A$" "澳元"; "AWG" 2 "" "阿鲁巴弗罗林"; "AZN" 2 "" "马纳特"; "BAM" 2 "" "可兑换马克";
    "BBD" 2 "" "巴巴多斯元"; "BDT" 2 "" "塔卡"; "BGN" 2 "" "列弗"; "BHD" 3 "" "巴林第纳尔"; "BIF" 0 "" "布隆迪法郎";
    "BMD" 2 "" "百慕大元"; "BND" 2 "" "文莱元"; "BOB" 2 "" "玻利维亚诺"; "BRL" 2 "" "雷亚尔"; "BSD" 2 "" "巴哈马元";
    "BTN" 2 "" "努尔特鲁姆"; "BWP" 2 "" "普拉"; "BYN" 2 "" "白俄罗斯卢布"; "BZD" 2 "" "伯利兹元"; "CAD" 2 "C$" "加元";
    "CDF" 2 "" "刚果法郎"; "CHF" 2 "" "瑞士法郎"; "CLP" 0 "" "智利比索"; "CNY" 2 "¥" "人民币"; "COP" 2 "" "哥伦比亚比索";
    "CRC" 2 "" "科朗"; "CUP" 2 "" "古巴比索"; "CVE" 2 "" "佛得角埃斯库多"; "CZK" 2 "" "捷克克朗"; "DJF" 0 "" "吉布提法郎";
    "DKK" 2 "" "丹麦克朗"; "DOP" 2 "" "多米尼加比索"; "DZD" 2 "" "阿尔及利亚第纳尔"; "EGP" 2 "" "埃及镑"; "ERN" 2 "" "纳克法";
    "ETB" 2 "" "比尔"; "EUR" 2 "€" "欧元"; "FJD" 2 "" "斐济元"; "FKP" 2 "" "福克兰镑"; "GBP" 2 "£" "英镑";
    "GEL" 2 "" "拉里"; "GHS" 2 "" "塞地"; "GIP" 2 "" "直布罗陀镑"; "GMD" 2 "" "达拉西"; "GNF" 0 "" "几内亚法郎";
    "GTQ" 2 "" "格查尔"; "GYD" 2 "" "圭亚那元"; "HKD" 2 "HK$" "港币"; "HNL" 2 "" "伦皮拉"; "HTG" 2 "" "古德";
    "HUF" 2 "" "福林"; "IDR" 2 "" "印尼盾"; "ILS" 2 "" "新谢克尔"; "INR" 2 "" "印度卢比"; "IQD" 3 "" "伊拉克第纳尔";
    "IRR" 2 "" "伊朗里亚尔"; "ISK" 0 "" "冰岛克朗"; "JMD" 2 "" "牙买加元"; "JOD" 3 "" "约旦第纳尔"; "JPY" 0 "" "日元";
    "KES" 2 "" "肯尼亚先令"; "KGS" 2 "" "索姆"; "KHR" 2 "" "瑞尔"; "KMF" 0 "" "科摩罗法郎"; "KPW" 2 "" "朝鲜元";
    "KRW" 0 "" "韩元"; "KWD" 3 "" "科威特第纳尔"; "KYD" 2 "" "开曼元"; "KZT" 2 "" "坚戈"; "LAK" 2 "" "基普";
    "LBP" 2 "" "黎巴嫩镑"; "LKR" 2 "" "斯里兰卡卢比"; "LRD" 2 "" "利比里亚元"; "LSL" 2 "" "洛蒂"; "LYD" 3 "" "利比亚第纳尔";
    "MAD" 2 "" "摩洛哥迪拉姆"; "MDL" 2 "" "摩尔多瓦列伊"; "MGA" 2 "" "阿里亚里"; "MKD" 2 "" "代纳尔"; "MMK" 2 "" "缅元";
    "MNT" 2 "" "图格里克"; "MOP" 2 "MOP$" "澳门元"; "MRU" 2 "" "乌吉亚"; "MUR" 2 "" "毛里求斯卢比"; "MVR" 2 "" "卢菲亚";
    "MWK" 2 "" "马拉维克瓦查"; "MXN" 2 "" "墨西哥比索"; "MYR" 2 "" "林吉特"; "MZN" 2 "" "梅蒂卡尔"; "NAD" 2 "" "纳米比亚元";
    "NGN" 2 "" "奈拉"; "NIO" 2 "" "科多巴"; "NOK" 2 "" "挪威克朗"; "NPR" 2 "" "尼泊尔卢比"; "NZD" 2 "NZ$" "新西兰元";
    "OMR" 3 "" "阿曼里亚尔"; "PAB" 2 "" "巴波亚"; "PEN" 2 "" "索尔"; "PGK" 2 "" "基那"; "PHP" 2 "" "菲律宾比索";
    "PKR" 2 "" "巴基斯坦卢比"; "PLN" 2 "" "兹罗提"; "PYG" 0 "" "瓜拉尼"; "QAR" 2 "" "卡塔尔里亚尔"; "RON" 2 "" "罗马尼亚列伊";
    "RSD" 2 "" "塞尔维亚第纳尔"; "RUB" 2 "" "卢布"; "RWF" 0 "" "卢旺达法郎"; "SAR" 2 "" "沙特里亚尔"; "SBD" 2 "" "所罗门元";
    "SCR" 2 "" "塞舌尔卢比"; "SDG" 2 "" "苏丹镑"; "SEK" 2 "" "瑞典克朗"; "SGD" 2 "S$" "新加坡元"; "SHP" 2 "" "圣赫勒拿镑";
    "SLE" 2 "" "利昂"; "SOS" 2 "" "索马里先令"; "SRD" 2 "" "苏里南元"; "SSP" 2 "" "南苏丹镑"; "STN" 2 "" "多布拉";
    "SVC" 2 "" "萨尔瓦多科朗"; "SYP" 2 "" "叙利亚镑"; "SZL" 2 "" "里兰吉尼"; "THB" 2 "฿" "泰铢"; "TJS" 2 "" "索莫尼";
    "TMT" 2 "" "土库曼马纳特"; "TND" 3 "" "突尼斯第纳尔"; "TOP" 2 "" "潘加"; "TRY" 2 "" "土耳其里拉"; "TTD" 2 "" "特立尼达元";
    "TWD" 2 "NT$" "新台币"; "TZS" 2 "" "坦桑尼亚先令"; "UAH" 2 "" "格里夫纳"; "UGX" 0 "" "乌干达先令"; "USD" 2 "US$" "美元";
    "UYU" 2 "" "乌拉圭比索"; "UZS" 2 "" "苏姆"; "VES" 2 "" "玻利瓦尔"; "VND" 0 "" "越南盾"; "VUV" 0 "" "瓦图";
    "WST" 2 "" "塔拉"; "XAF" 0 "" "中非法郎"; "XCD" 2 "" "东加勒比元"; "XOF" 0 "" "西非法郎"; "XPF" 0 "" "太平洋法郎";
    "YER" 2 "" "也门里亚尔"; "ZAR" 2 "" "兰特"; "ZMW" 2 "" "赞比亚克瓦查"; "ZWG" 2 "" "津巴布韦金";
}

/// The same as in the table, for what needs no looking up.
static CNY: Entry = Entry { code: "CNY", decimals: 2, symbol: "¥", name: "人民币" };

impl Currency {
    /// Looks a code up; capitals only. `None` for a code that is not in ISO 4217.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        TABLE.binary_search_by(|entry| entry.code.cmp(code)).ok().and_then(|at| TABLE.get(at)).map(Self)
    }

    /// Every currency, in the order of the codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// Renminbi.
    #[must_use]
    pub const fn cny() -> Self {
        Self(&CNY)
    }

    /// Three capitals.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code
    }

    /// Digits after the point: 0, 2 or 3.
    #[must_use]
    pub fn decimals(self) -> u8 {
        self.0.decimals
    }

    /// The sign before an amount; empty where the code is clearer.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        self.0.symbol
    }

    /// The Chinese name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    fn scale(self) -> i64 {
        10_i64.pow(u32::from(self.0.decimals))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code)
    }
}

/// An amount of one currency in its minor unit (fen, cents, whole yen).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why an amount was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMoney {
    /// The currency code is not in ISO 4217.
    #[error("unknown currency")]
    Currency,
    /// Not a plain decimal such as `128.50`.
    #[error("amount is not a decimal number such as 128.50")]
    Decimal,
    /// More decimals than the currency has.
    #[error("amount has more decimals than its currency")]
    Decimals,
    /// Beyond ±10^15 minor units.
    #[error("amount is too large")]
    Range,
}

impl Money {
    /// Largest magnitude in minor units: ten trillion yuan.
    pub const MINOR_MAX: i64 = 1_000_000_000_000_000;

    /// From minor units.
    ///
    /// # Errors
    /// When beyond ±[`Self::MINOR_MAX`].
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, NotMoney> {
        if minor.unsigned_abs() > Self::MINOR_MAX.unsigned_abs() {
            return Err(NotMoney::Range);
        }
        Ok(Self { minor, currency })
    }

    /// From minor units; beyond the range it stays at the range's end.
    #[must_use]
    pub fn saturating(minor: i64, currency: Currency) -> Self {
        Self { minor: minor.clamp(-Self::MINOR_MAX, Self::MINOR_MAX), currency }
    }

    /// An amount of renminbi from fen; one beyond the range is the largest of its sign.
    #[must_use]
    pub const fn of_fen(fen: i64) -> Self {
        let minor = match fen {
            fen if fen < -Self::MINOR_MAX => -Self::MINOR_MAX,
            fen if fen > Self::MINOR_MAX => Self::MINOR_MAX,
            fen => fen,
        };
        Self { minor, currency: Currency::cny() }
    }

    /// Parses a decimal text such as `128.50`, `-3` or `0.00`. No exponent, no separator, no plus sign.
    ///
    /// # Errors
    /// See [`NotMoney`].
    pub fn parse(value: &str, code: &str) -> Result<Self, NotMoney> {
        let currency = Currency::parse(code).ok_or(NotMoney::Currency)?;
        let (negative, digits) = match value.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let (whole, part) = match digits.split_once('.') {
            Some((whole, part)) if !part.is_empty() => (whole, part),
            Some(_) => return Err(NotMoney::Decimal),
            None => (digits, ""),
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(part) {
            return Err(NotMoney::Decimal);
        }
        if part.len() > usize::from(currency.decimals()) {
            return Err(NotMoney::Decimals);
        }
        if whole.trim_start_matches('0').len() > 14 {
            return Err(NotMoney::Range);
        }
        let padded = format!("{whole}{part:0<width$}", width = usize::from(currency.decimals()));
        let magnitude: i64 = padded.parse().map_err(|_| NotMoney::Range)?;
        Self::from_minor(if negative { -magnitude } else { magnitude }, currency)
    }

    /// The amount in minor units.
    #[must_use]
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// Its currency.
    #[must_use]
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The sum; `None` for different currencies or beyond the range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        (self.currency == other.currency)
            .then(|| self.minor.checked_add(other.minor))
            .flatten()
            .and_then(|minor| Self::from_minor(minor, self.currency).ok())
    }

    /// The plain decimal: `1234.50`. What travels between programs and stands in template fields.
    #[must_use]
    pub fn decimal(self) -> String {
        let scale = self.currency.scale().unsigned_abs();
        let magnitude = self.minor.unsigned_abs();
        let sign = if self.minor < 0 { "-" } else { "" };
        let width = usize::from(self.currency.decimals());
        if width == 0 {
            return format!("{sign}{magnitude}");
        }
        format!("{sign}{}.{:0width$}", magnitude / scale, magnitude % scale)
    }

    /// For people: `¥1,234.50`, `-¥3.00`, `JPY 12,000`.
    #[must_use]
    pub fn display(self) -> String {
        let decimal = self.decimal();
        let (sign, digits) = match decimal.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", decimal.as_str()),
        };
        let (whole, part) =
            digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        if let Some(part) = part {
            grouped.push('.');
            grouped.push_str(part);
        }
        match self.currency.symbol() {
            "" => format!("{sign}{} {grouped}", self.currency.code()),
            symbol => format!("{sign}{symbol}{grouped}"),
        }
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Money(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renminbi_is_the_one_of_the_table() {
        assert_eq!(Currency::parse("CNY"), Some(Currency::cny()));
    }

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(Currency::cny().decimals(), 2);
    }

    #[test]
    fn amounts_parse_and_print_exactly() {
        let table = [
            ("128.50", "CNY", "128.50", "¥128.50"),
            ("0.00", "CNY", "0.00", "¥0.00"),
            ("0", "CNY", "0.00", "¥0.00"),
            ("-3.1", "CNY", "-3.10", "-¥3.10"),
            ("12000", "JPY", "12000", "JPY 12,000"),
            ("1234567.89", "USD", "1234567.89", "US$1,234,567.89"),
            ("1.234", "KWD", "1.234", "KWD 1.234"),
        ];
        for (value, code, decimal, display) in table {
            let money = Money::parse(value, code).unwrap();
            assert_eq!((money.decimal().as_str(), money.display().as_str()), (decimal, display));
        }
    }

    #[test]
    fn what_is_not_money_is_refused_with_its_reason() {
        let table = [
            ("1.234", "CNY", NotMoney::Decimals),
            ("1.0", "JPY", NotMoney::Decimals),
            ("1", "XXX", NotMoney::Currency),
            ("1", "cny", NotMoney::Currency),
            ("", "CNY", NotMoney::Decimal),
            ("1.", "CNY", NotMoney::Decimal),
            (".5", "CNY", NotMoney::Decimal),
            ("1e3", "CNY", NotMoney::Decimal),
            ("+1", "CNY", NotMoney::Decimal),
            ("１", "CNY", NotMoney::Decimal),
            ("99999999999999999999", "CNY", NotMoney::Range),
        ];
        for (value, code, reason) in table {
            assert_eq!(Money::parse(value, code).unwrap_err(), reason, "{value} {code}");
        }
    }
}
