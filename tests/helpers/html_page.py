"""A page of HTML as a browser reads it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The page as a browser reads it: texts, elements by name with their attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def article(self, id: str) -> str:
        """The source of the article with an id."""
        start = self.source.index(f'id="{id}"')
        return self.source[start : self.source.index("</article>", start)]
