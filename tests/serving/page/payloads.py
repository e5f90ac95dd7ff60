"""Strings that would run as a script where somebody took them for markup, an attribute, a URL or a template.
Each that runs sets `window.ran`."""

from __future__ import annotations

from typing import Final

PAYLOADS: Final = (
    "<script>window.ran=1</script>",
    "<SCRIPT SRC=data:text/javascript,window.ran=1></SCRIPT>",
    "<img src=x onerror=window.ran=1>",
    "<img src=x onerror='window.ran=1'//",
    "<svg onload=window.ran=1>",
    "<svg><script>window.ran=1</script></svg>",
    "<svg><animate onbegin=window.ran=1 attributeName=x dur=1s>",
    "<body onload=window.ran=1>",
    "<iframe srcdoc='<script>parent.ran=1</script>'>",
    "<iframe src=javascript:parent.ran=1>",
    "<details open ontoggle=window.ran=1>",
    "<video><source onerror=window.ran=1></video>",
    "<audio src onerror=window.ran=1>",
    "<input autofocus onfocus=window.ran=1>",
    "<select autofocus onfocus=window.ran=1>",
    "<marquee onstart=window.ran=1>x</marquee>",
    "<object data=javascript:window.ran=1>",
    "<embed src=javascript:window.ran=1>",
    "<form action=javascript:window.ran=1><button autofocus>x</button></form>",
    "<a href=javascript:window.ran=1 autofocus>x</a>",
    "<math><mtext><img src=x onerror=window.ran=1></mtext></math>",
    "<template><img src=x onerror=window.ran=1></template>",
    "<style>@import 'javascript:window.ran=1'</style>",
    "<style onload=window.ran=1></style>",
    "<link rel=stylesheet href=data:text/css,x onload=window.ran=1>",
    "<meta http-equiv=refresh content='0;url=javascript:window.ran=1'>",
    "<base href=javascript:window.ran=1//>",
    "<noscript><p title='</noscript><img src=x onerror=window.ran=1>'></noscript>",
    "</script><script>window.ran=1</script>",
    "</title><script>window.ran=1</script>",
    "</textarea><img src=x onerror=window.ran=1>",
    "--><img src=x onerror=window.ran=1><!--",
    "]]><script>window.ran=1</script>",
    "' onmouseover='window.ran=1' autofocus onfocus='window.ran=1",
    '" onpointerenter="window.ran=1" style="position:fixed;inset:0',
    "javascript:window.ran=1",
    "${window.ran=1}",
    "{{constructor.constructor('window.ran=1')()}}{% raw %}{{7*7}}",
    "\u2028window.ran=1\u2029</script\t><script>window.ran=1</script>",
    "\u202e<img src=x onerror=window.ran=1>\ufeff%3Cscript%3Ewindow.ran=1%3C/script%3E&lt;script&gt;",
)
