r"""The TeX of the derivations as MathML, which browsers set without a library.

A small subset of TeX: what docs/derivations.md uses, and a ``ConfigError`` for anything else.

    expression = atom*      atom = token [_ group] [^ group]      group = token | { expression }
"""

import re
from collections.abc import Callable
from html import escape

from scratchvae.errors import ConfigError

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[0-9]+(?:\.[0-9]+)?|[^\s]")

LETTERS = {
    "beta": "β", "gamma": "γ", "Delta": "Δ", "epsilon": "ϵ", "varepsilon": "ε", "eta": "η",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "varphi": "φ", "phi": "ϕ", "psi": "ψ", "alpha": "α", "delta": "δ", "theta": "θ", "nu": "ν",
    "omega": "ω", "Omega": "Ω", "Sigma": "Σ", "ell": "ℓ", "partial": "∂", "infty": "∞",
    "zeta": "ζ", "chi": "χ", "xi": "ξ", "Lambda": "Λ", "Gamma": "Γ", "Phi": "Φ", "Psi": "Ψ",
}  # fmt: skip
SIGNS = {
    "approx": "≈", "cdot": "·", "ge": "≥", "geq": "≥", "gt": ">", "in": "∈", "leftarrow": "←",
    "le": "≤", "leq": "≤", "lt": "<", "mid": "|", "ne": "≠", "sim": "∼", "times": "×", "to": "→",
    "odot": "⊙", "circ": "∘", "pm": "±", "ldots": "…", "dots": "…", "cdots": "⋯", "propto": "∝",
    "rightarrow": "→", "equiv": "≡", "neg": "¬", "cup": "∪", "cap": "∩", "subset": "⊂", "ll": "≪",
    "gg": "≫", "prime": "′", "ast": "∗", "star": "⋆", "top": "⊤", "mapsto": "↦", "setminus": "∖",
    "nabla": "∇", "forall": "∀", "exists": "∃", "otimes": "⊗",
    "oplus": "⊕", "cdotp": "·", "notin": "∉", "perp": "⟂", "colon": ":", "Longrightarrow": "⟹",
    "Rightarrow": "⇒", "implies": "⟹", "iff": "⟺", "emptyset": "∅", "sqcup": "⊔", "parallel": "∥",
}  # fmt: skip
FENCES = {
    "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "lVert": "‖", "rVert": "‖",
    "lvert": "|", "rvert": "|", "Vert": "‖", "vert": "|", "{": "{", "}": "}", "|": "‖",
    "lceil": "⌈", "rceil": "⌉",
}  # fmt: skip
LARGE = {"sum": "∑", "prod": "∏", "int": "∫"}
FUNCTIONS = ("log", "ln", "exp", "sin", "cos", "tan", "tanh", "max", "min", "arccos", "det",
             "arg", "argmax", "sinh", "cosh", "sup", "inf", "lim")  # fmt: skip
ACCENTS = {
    "hat": "^",
    "widehat": "^",
    "widetilde": "~",
    "bar": "¯",
    "tilde": "~",
    "overline": "¯",
    "vec": "→",
    "dot": "˙",
}
WORDS = ("text", "mathrm", "mathsf", "operatorname", "mathbf", "mathcal")
SPACES = {"quad": "1em", "qquad": "2em", ",": "0.17em", ";": "0.28em", " ": "0.25em", "!": "0em"}
SIZES = ("big", "Big", "bigg", "Bigg")
BELOW = ("max", "min", "sup", "inf", "lim", "argmax")  # what stands under the word in a display


def mathml(tex: str) -> str:
    """A display of TeX as a ``<math>`` element; ``ConfigError`` for TeX that it does not know."""
    reader = _Reader(tex)
    body = reader.expression()
    if reader.here is not None:
        raise reader.unknown()
    return f'<math display="block" alttext="{escape(" ".join(tex.split()))}">{body}</math>'


def _row(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"


class _Reader:
    """Reads one formula from left to right."""

    def __init__(self, tex: str) -> None:
        # the words of \text{…} keep their spaces, so they are taken out before the rest is split
        self.words: list[str] = []
        pattern = rf"\\({'|'.join(WORDS)})\s*{{([^{{}}]*)}}"
        self.tex = re.sub(pattern, self._keep, tex)
        self.tokens: list[str] = TOKEN.findall(self.tex)
        self.at = 0

    def _keep(self, match: re.Match[str]) -> str:
        self.words.append(match[2])
        return rf"\word{{{len(self.words) - 1}}}"

    @property
    def here(self) -> str | None:
        """The token that comes next."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, expected: str = "") -> str:
        """The next token, and go on; ``ConfigError`` where it is not the one expected."""
        token = self.here
        if token is None or (expected and token != expected):
            raise self.unknown(f"where {expected} should be" if expected else "")
        self.at += 1
        return token

    def unknown(self, why: str = "") -> ConfigError:
        """The error for what stands here."""
        what = repr(self.here) if self.here else "the end"
        return ConfigError(f"a formula has {what} {why or 'that has no MathML'}: {self.tex!r}")

    def expression(self, until: tuple[str, ...] = ()) -> str:
        """Everything up to a closing token, which stays."""
        parts = []
        while self.here is not None and self.here not in ("}", *until):
            parts.append(self.scripted())
        return _row(parts) if parts else "<mrow></mrow>"

    def scripted(self) -> str:
        """An atom with what stands below and above it."""
        token = self.here or ""
        base = self.atom()
        below = above = ""
        primes = 0
        while self.here in ("_", "^", "'"):
            sign = self.take()
            if sign == "'":
                primes += 1
            elif sign == "_":
                below = self.group()
            else:
                above = self.group()
        if primes:
            prime = f"<mo>{'′' * primes}</mo>"
            above = f"<mrow>{prime}{above}</mrow>" if above else prime
        if not below and not above:
            return base
        limits = token[1:] in LARGE or token[1:] in BELOW
        if below and above:
            name = "munderover" if limits else "msubsup"
            return f"<{name}>{base}{below}{above}</{name}>"
        if below:
            name = "munder" if limits else "msub"
            return f"<{name}>{base}{below}</{name}>"
        name = "mover" if limits else "msup"
        return f"<{name}>{base}{above}</{name}>"

    def group(self) -> str:
        """``{ expression }`` or a single token, as an argument; digits are taken one by one."""
        if self.here == "{":
            self.take()
            inside = self.expression()
            self.take("}")
            return inside
        token = self.here or ""
        if token.isdigit() and len(token) > 1:  # \frac12 is a half
            self.tokens[self.at : self.at + 1] = list(token)
        return self.atom()

    def atom(self) -> str:
        """One token, or a command with its arguments."""
        if self.here == "{":
            return self.group()
        token = self.take()
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token == "&":
            return ""
        stretchy = ' stretchy="false"' if token in "()[]|" else ""
        return f"<mo{stretchy}>{escape('−' if token == '-' else token)}</mo>"

    def command(self, name: str) -> str:
        """What a backslash begins."""
        if name == "word":
            self.take("{")
            words = self.words[int(self.take())]
            self.take("}")
            kind = "mi" if words.isalpha() and len(words) > 1 else "mtext"
            upright = ' mathvariant="normal"' if kind == "mi" and len(words) == 1 else ""
            return f"<{kind}{upright}>{escape(words.replace(' ', chr(0xA0)))}</{kind}>"
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in SIGNS:
            return f"<mo>{escape(SIGNS[name])}</mo>"
        if name in FENCES:
            return f'<mo stretchy="false">{FENCES[name]}</mo>'
        if name in LARGE:
            return f'<mo largeop="true" movablelimits="false">{LARGE[name]}</mo>'
        if name in FUNCTIONS:
            if self.here in ("_", "^", "(", "["):
                return f"<mi>{name}</mi>"
            return f'<mrow><mi>{name}</mi><mspace width="0.17em"/></mrow>'
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"/>'
        if name in ACCENTS:
            base = self.group()
            return f'<mover accent="true">{base}<mo>{ACCENTS[name]}</mo></mover>'
        special: dict[str, Callable[[], str]] = {
            "frac": self.fraction, "tfrac": self.fraction, "dfrac": self.fraction,
            "sqrt": self.root, "left": self.fenced, "mathrel": self.relation,
            "mathsf": self.group, "mathrm": self.group, "mathbf": self.group,
            "begin": self.lines, "substack": self.stack,
        }  # fmt: skip
        if name in special:
            return special[name]()
        if name[:-1] in SIZES and name[-1] in "lr":
            fence = self.take()
            return f'<mo minsize="1.3em" maxsize="1.3em">{self.fence(fence)}</mo>'
        self.at -= 1
        raise self.unknown()

    def fraction(self) -> str:
        """``\\frac`` above below."""
        return f"<mfrac>{self.group()}{self.group()}</mfrac>"

    def root(self) -> str:
        """``\\sqrt`` of a group."""
        return f"<msqrt>{self.group()}</msqrt>"

    def relation(self) -> str:
        """``\\mathrel{+}=``: one sign."""
        sign = self.group()
        if self.here == "=":
            self.take()
            return f"<mo>{re.sub('<[^>]*>', '', sign)}=</mo>"
        return sign

    def fenced(self) -> str:
        """``\\left( … \\right)``."""
        opening = self.fence(self.take())
        inside = self.expression((r"\right",))
        self.take(r"\right")
        closing = self.fence(self.take())
        return f"<mrow><mo>{opening}</mo>{inside}<mo>{closing}</mo></mrow>"

    def fence(self, token: str) -> str:
        """The sign of a fence: "(" or "\\langle"; a "." is none."""
        return "" if token == "." else escape(FENCES.get(token.removeprefix("\\"), token))

    def lines(self) -> str:
        """``\\begin{aligned} … \\cr … \\end{aligned}``: a row each, aligned at ``&``."""
        self.environment()
        rows = []
        while True:
            cells = [self.expression(("&", r"\cr", r"\\", r"\end"))]
            while self.here == "&":
                self.take()
                cells.append(self.expression(("&", r"\cr", r"\\", r"\end")))
            cell = "".join(f'<mtd style="text-align:left">{c}</mtd>' for c in cells)
            rows.append(f"<mtr>{cell}</mtr>")
            if self.take() == r"\end":
                break
        self.environment()
        return f"<mtable>{''.join(rows)}</mtable>"

    def environment(self) -> None:
        """Past the name of an environment."""
        while self.take() != "}":
            pass

    def stack(self) -> str:
        """``\\substack{… \\cr …}``: lines below a sum."""
        self.take("{")
        rows = [self.expression((r"\cr", r"\\"))]
        while self.here in (r"\cr", r"\\"):
            self.take()
            rows.append(self.expression((r"\cr", r"\\")))
        self.take("}")
        return f"<mtable>{''.join(f'<mtr><mtd>{row}</mtd></mtr>' for row in rows)}</mtable>"
