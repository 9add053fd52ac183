//! Text of a given width: names on the left, what there is to say on the right, wrapped at spaces.

/// A space that keeps words together.
pub(crate) const FIRM: char = '\u{a0}';

/// The text so far.
pub(crate) struct Page {
    text: String,
    /// Columns of a line.
    width: usize,
    /// Columns of the names, with their indent.
    label: usize,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(width: usize, label: usize) -> Self {
        Self { text: String::new(), width, label }
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A line of its own.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A line of its own, after a gap unless it is the first.
    pub(crate) fn heading(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.gap();
        }
        self.line(line);
    }

    /// A name, set in by two columns a `level`, and words beside it; [`FIRM`] spaces are never wrapped at.
    pub(crate) fn row(&mut self, level: usize, label: &str, words: &str) {
        let name = format!("{}{label}", "  ".repeat(level));
        // A long name has a line to itself.
        let gap = if name.chars().count() < self.label { "" } else { "\n" };
        let mut line = format!("{name:<0$}{gap}", self.label);
        if !gap.is_empty() {
            line.push_str(&" ".repeat(self.label));
        }
        let mut width = self.label;
        for (at, word) in words.split(' ').enumerate() {
            let longer = width + usize::from(at > 0) + word.chars().count();
            if at > 0 && longer > self.width {
                line.push('\n');
                line.push_str(&" ".repeat(self.label));
                width = self.label;
            } else if at > 0 {
                line.push(' ');
                width += 1;
            }
            line.push_str(word);
            width += word.chars().count();
        }
        self.line(&line.replace(FIRM, " "));
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_beside_the_name() {
        let mut page = Page::new(80, 22);
        page.heading("Clients");
        page.row(1, "llama", &"twelve char ".repeat(8));
        page.row(2, "a name that is as long as the column", "beside");
        page.row(1, "firm", &format!("{} key:{FIRM}value", "x".repeat(50)));
        page.heading("End");
        let text = page.into_text();
        assert_eq!(
            text,
            "Clients\n  llama               twelve char twelve char twelve char twelve char twelve\n\
             \x20                     char twelve char twelve char twelve char\n\
             \x20   a name that is as long as the column\n                      beside\n\
             \x20 firm                xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\
             \x20                     key: value\n\nEnd\n"
        );
    }
}
