//! What a bank checks before it believes a form. Each check gives back the tidied value, or the words for beside the field.

use jiff::civil::Date;

use crate::domain::mask;
use crate::domain::money::Money;

/// A field and what is wrong with it, for the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// The field's name in the form.
    pub field: &'static str,
    /// What to do about it.
    pub text: String,
}

/// Longest field that is looked at, in bytes.
const FIELD_BYTES_MAX: usize = 1024;

/// Trims, and turns full-width letters, digits and spaces into plain ones: phones type both.
fn tidy(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{3000}' => ' ',
        '！'..='～' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    text.trim().chars().map(plain).collect::<String>().trim().to_owned()
}

fn tidy_number(text: &str) -> String {
    tidy(text).chars().filter(|c| !matches!(c, ' ' | '-')).collect::<String>().to_uppercase()
}

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A person's name: 2 to 40 characters, letters of any script, `·`, `.`, `-`, `'` and spaces between them.
///
/// # Errors
/// The words for beside the field.
pub fn name(text: &str) -> Result<String, &'static str> {
    let name = text.trim().to_owned();
    let allowed = |c: char| c.is_alphabetic() || matches!(c, '·' | '•' | '．' | '.' | ' ' | '-' | '\'');
    let letters = name.chars().filter(|c| c.is_alphabetic()).count();
    match name.chars().count() {
        0 => Err("请填写姓名"),
        2..=40 if letters >= 2 && name.chars().all(allowed) => Ok(name),
        _ => Err("请填写证件上的姓名，不含数字和符号"),
    }
}

/// The last four or six characters of an ID number.
///
/// # Errors
/// The words for beside the field.
pub fn id_tail(text: &str) -> Result<String, &'static str> {
    let tail = tidy_number(text);
    let count = tail.len();
    let fits = matches!(count, 4 | 6) && tail.is_ascii();
    let (head, last) = if fits { tail.split_at(count - 1) } else { ("", "") };
    match tail.as_str() {
        "" => Err("请填写证件号码的后四位或后六位"),
        _ if digits(head, count.saturating_sub(1)) && (digits(last, 1) || last == "X") => Ok(tail),
        _ if count > 6 => Err("只需填写后四位或后六位，请不要填写完整证件号码"),
        _ => Err("应为4位或6位，末位可以是X"),
    }
}

/// The last four digits of a card number.
///
/// # Errors
/// The words for beside the field.
pub fn card_tail(text: &str) -> Result<String, &'static str> {
    let tail = tidy_number(text);
    match tail.as_str() {
        "" => Err("请填写信用卡卡号的后四位"),
        _ if digits(&tail, 4) => Ok(tail),
        _ if tail.len() > 4 => Err("只需填写后四位，请不要填写完整卡号"),
        _ => Err("应为4位数字"),
    }
}

/// A mobile number of mainland China.
///
/// # Errors
/// The words for beside the field.
pub fn phone(text: &str) -> Result<String, &'static str> {
    let phone = tidy_number(text);
    let phone = phone.strip_prefix("+86").unwrap_or(&phone).to_owned();
    let second = phone.chars().nth(1);
    match phone.as_str() {
        "" => Err("请填写手机号"),
        _ if digits(&phone, 11)
            && phone.starts_with('1')
            && second.is_some_and(|c| ('3'..='9').contains(&c)) =>
        {
            Ok(phone)
        }
        _ => Err("手机号应为11位数字，以1开头"),
    }
}

/// A one-time code.
///
/// # Errors
/// The words for beside the field.
pub fn code(text: &str) -> Result<String, &'static str> {
    let code = tidy_number(text);
    match code.as_str() {
        "" => Err("请填写短信验证码"),
        _ if (4..=8).contains(&code.len()) && digits(&code, code.len()) => Ok(code),
        _ => Err("验证码是短信中的数字，请核对"),
    }
}

/// An ID number whose check character fits, of someone within the bank's bounds of age today.
///
/// # Errors
/// The words for beside the field.
pub fn id_number(text: &str, today: Date, age_min: i64, age_max: i64) -> Result<String, String> {
    let number = tidy_number(text);
    if number.is_empty() {
        return Err("请填写身份证号码".to_owned());
    }
    let chars: Vec<char> = number.chars().collect();
    let (Some(body), 18) = (number.get(..17), number.len()) else {
        return Err("身份证号码应为18位".to_owned());
    };
    let form = digits(body, 17) && chars.last().is_some_and(|c| c.is_ascii_digit() || *c == 'X');
    let born = number.get(6..14).and_then(birth_date).filter(|born| *born <= today);
    let (true, true, Some(born)) = (form, mask::id_check(&chars), born) else {
        return Err("身份证号码有误，请核对每一位".to_owned());
    };
    let age = age(born, today);
    if age < age_min || age > age_max {
        return Err(format!("本产品的申请人须年满{age_min}周岁、不超过{age_max}周岁"));
    }
    Ok(number)
}

fn birth_date(text: &str) -> Option<Date> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i16>().ok();
    let (month, day) = (i8::try_from(number(4, 6)?).ok()?, i8::try_from(number(6, 8)?).ok()?);
    Date::new(number(0, 4)?, month, day).ok()
}

/// Whole years; a birthday counts from its day on (周岁).
fn age(born: Date, today: Date) -> i64 {
    let before_birthday = (today.month(), today.day()) < (born.month(), born.day());
    i64::from(today.year() - born.year()) - i64::from(before_birthday)
}

/// A yearly income in yuan within the bank's bounds.
///
/// # Errors
/// The words for beside the field.
pub fn income(text: &str, least: Money, most: Money) -> Result<String, String> {
    let plain = tidy(text).replace([',', '，', ' '], "");
    let plain = plain.strip_suffix('元').unwrap_or(&plain);
    if plain.is_empty() {
        return Err("请填写年收入".to_owned());
    }
    let Ok(money) = Money::parse(plain, "CNY") else {
        return Err("请填写数字，单位为元，例如 120000".to_owned());
    };
    if money.minor() < least.minor() {
        return Err(format!("申请本行信用卡，年收入不低于{}", least.display()));
    }
    if money.minor() > most.minor() {
        return Err(format!("年收入不能超过{}，请核对单位", most.display()));
    }
    Ok(money.decimal())
}

/// Free text of so many characters, without control characters.
///
/// # Errors
/// The words for beside the field.
pub fn line(what: &str, text: &str, chars_min: usize, chars_max: usize) -> Result<String, String> {
    let line = text.trim();
    let count = line.chars().count();
    if line.len() > FIELD_BYTES_MAX || count > chars_max {
        return Err(format!("{what}最多{chars_max}个字"));
    }
    if count < chars_min || line.chars().any(char::is_control) {
        return Err(if count == 0 {
            format!("请填写{what}")
        } else {
            format!("{what}至少{chars_min}个字")
        });
    }
    Ok(line.to_owned())
}

/// Puts each check's complaint beside its field, and gives the values only when there is none.
#[derive(Default)]
pub struct Complaints(Vec<FieldFault>);

impl Complaints {
    /// The value, or its default with the complaint noted.
    pub fn keep<T: Default, E: Into<String>>(&mut self, field: &'static str, checked: Result<T, E>) -> T {
        checked.unwrap_or_else(|text| {
            self.0.push(FieldFault { field, text: text.into() });
            T::default()
        })
    }

    /// Notes a complaint.
    pub fn add(&mut self, field: &'static str, text: &str) {
        self.0.push(FieldFault { field, text: text.to_owned() });
    }

    /// The value if there was no complaint.
    ///
    /// # Errors
    /// The complaints, in the order of the checks.
    pub fn settle<T>(self, value: T) -> Result<T, Vec<FieldFault>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_never_take_a_whole_number() {
        assert_eq!(card_tail(" １２３４ "), Ok("1234".to_owned()));
        assert_eq!(id_tail("001x"), Ok("001X".to_owned()));
        assert_eq!(id_tail("31 001X"), Ok("31001X".to_owned()));
        for bad in ["", "123", "12a4", "4111111111111111", "12345", "１２３"] {
            assert!(card_tail(bad).is_err(), "{bad}");
        }
        for bad in ["", "X123", "12345", "990000199203129091", "00X1", "é23"] {
            assert!(id_tail(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_phones_are_tidied() {
        assert_eq!(name(" 张立春 "), Ok("张立春".to_owned()));
        assert_eq!(name("阿卜杜拉·买买提"), Ok("阿卜杜拉·买买提".to_owned()));
        for bad in ["", "张", "张3", "<b>", "··", &"张".repeat(41)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert_eq!(phone("+86 138-0013-8001"), Ok("13800138001".to_owned()));
        assert_eq!(phone("１３８００１３８００１"), Ok("13800138001".to_owned()));
        for bad in ["", "12800138001", "1380013800", "138001380011", "23800138001"] {
            assert!(phone(bad).is_err(), "{bad}");
        }
        assert_eq!(code("123 456"), Ok("123456".to_owned()));
        assert!(code("12345a").is_err() && code("123").is_err() && code("123456789").is_err());
    }

    #[test]
    fn an_id_number_needs_its_check_character_a_real_birthday_and_the_right_age() {
        let today = Date::constant(2026, 11, 22);
        let check = |text: &str| id_number(text, today, 18, 65);
        assert_eq!(check("990000199203129091"), Ok("990000199203129091".to_owned()));
        assert!(check("990000199203129092").unwrap_err().contains("有误"));
        assert!(check("11010519491231002X").unwrap_err().contains("65"), "76 years old");
        assert!(check("99000019920312909").unwrap_err().contains("18位"));
        assert!(check("九90000199203129091").is_err());
        // The 18th birthday itself is old enough, the day before is not.
        assert_eq!(
            (age(Date::constant(2008, 11, 22), today), age(Date::constant(2008, 11, 23), today)),
            (18, 17)
        );
        assert_eq!(birth_date("20230229"), None);
    }

    #[test]
    fn income_is_money_within_bounds() {
        let (least, most) = (Money::parse("12000", "CNY").unwrap(), Money::parse("1000000", "CNY").unwrap());
        assert_eq!(income("120,000元", least, most), Ok("120000.00".to_owned()));
        assert_eq!(income("12000", least, most), Ok("12000.00".to_owned()));
        for bad in ["", "十万", "11999.99", "1000000.01", "-1", "1e9", "1.234"] {
            assert!(income(bad, least, most).is_err(), "{bad}");
        }
    }
}
