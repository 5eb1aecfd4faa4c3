//! Parts that several views are made of.

use jiff::Timestamp;
use maud::{Markup, html};

/// An instant. `page.js` shows how long ago that is, and the exact one in the reader's zone on hover.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at) } }
}

/// What a badge means: the colour of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadgeKind {
    Good,
    Warn,
    Bad,
    Quiet,
}

impl BadgeKind {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// A state in a word or two.
pub(super) fn badge(kind: BadgeKind, text: &str) -> Markup {
    html! { span class={ "badge " (kind.class()) } { (text) } }
}

/// What is shown in a card with nothing in it: what that means, and a way on: its address and its words.
pub(super) fn empty(title: &str, text: &str, action: Option<(&str, &str)>) -> Markup {
    html! {
        div class="empty" {
            h3 { (title) }
            p { (text) }
            @if let Some((address, words)) = action {
                a class="button" href=(address) { (words) }
            }
        }
    }
}

/// Column of a table: its title, over text or over numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column<'c> {
    Text(&'c str),
    Number(&'c str),
}

/// A table, which scrolls where there is no room for it. `label`: what it is of, for those who don't see it.
pub(super) fn table<'c>(label: &str, columns: impl IntoIterator<Item = Column<'c>>, rows: &Markup) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) {
            table class="data" {
                thead {
                    tr {
                        @for column in columns {
                            @match column {
                                Column::Text(title) => th scope="col" { (title) },
                                Column::Number(title) => th scope="col" class="number" { (title) },
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

/// A number with thin spaces between its thousands.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + 9);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// What went wrong, and what to do.
pub(super) fn fault(text: &str) -> Markup {
    html! { p class="fault" role="alert" { (prose(text)) } }
}

/// A text with `code` between backticks, as messages have it.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (98_765, "98 765"),
            (1_234_567, "1 234 567"),
            (u64::MAX, "18 446 744 073 709 551 615"),
        ] {
            assert_eq!(number(n).replace('\u{202f}', " "), text);
        }
    }

    #[test]
    fn messages_name_code() {
        let shown = fault("set `a<b` in it").into_string();
        assert_eq!(shown, "<p class=\"fault\" role=\"alert\">set <code>a&lt;b</code> in it</p>");
    }

    #[test]
    fn what_people_wrote_stays_text() {
        let shown = empty("<b>", "a & b", Some(("/?q=\"", "<i>"))).into_string();
        let safe = "<div class=\"empty\"><h3>&lt;b&gt;</h3><p>a &amp; b</p>\
                    <a class=\"button\" href=\"/?q=&quot;\">&lt;i&gt;</a></div>";
        assert_eq!(shown, safe);
    }
}
