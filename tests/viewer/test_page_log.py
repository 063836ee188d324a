"""The helper that other tests find a page's errors and requests with."""

from playwright.sync_api import Browser

from tests.helpers.viewer_pages import PageLog, new_page


def test_errors_and_requests_of_a_page_are_noted(browser: Browser) -> None:
    page, other = new_page(browser, 320, 200), new_page(browser, 100, 100)
    log, others = PageLog(page), PageLog(other)
    page.goto(
        "data:text/html,<img src='http://127.0.0.1:9/a.png'>"
        "<script>console.error('spilt', 7); null.milk</script>"
    )
    errors = log.errors()
    for expected in ("spilt 7", "milk", "http://127.0.0.1:9/a.png"):
        assert any(expected in error for error in errors), expected
    assert log.requests() == ["http://127.0.0.1:9/a.png"]
    assert others.errors() == others.requests() == []
    for each in (page, other):
        each.context.close()


def test_webgl_2_works_in_software(browser: Browser) -> None:
    page = new_page(browser, 100, 100)
    renderer = page.evaluate(
        "(() => { const context = new OffscreenCanvas(8, 8).getContext('webgl2');"
        "const names = context.getExtension('WEBGL_debug_renderer_info');"
        "return context.getParameter(names.UNMASKED_RENDERER_WEBGL); })()"
    )
    assert "SwiftShader" in renderer
    page.context.close()
