"""From a question to a cited answer, one stage a module; `rag` puts them in their order."""
