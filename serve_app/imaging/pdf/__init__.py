"""Two PDFs as pages: counted and measured first, laid side by side by likeness, rendered one by one."""
