"""cvc5: every theorem once more, from exported SMT-LIB text, by a solver that shares no code with Z3.

``options.theorem`` names theorems as for the engine ``z3``. Each question is asked anew in a solver of its
own, through the API of the Python wheel: that the assumptions can be met, that the statement is true, that
each interesting case can happen. Any answer but the one that is needed is *unexpected*, *unknown* too.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from scratchbird_check.context import Context
from scratchbird_check.engines import z3 as z3_engine
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict

QUESTION_LIMIT_MS = 10_000


def missing() -> str:
    """Empty if cvc5 is installed (and Z3, whose formulas it reads), else how to get it."""
    if importlib.util.find_spec("cvc5") is None:
        return "cvc5 is missing: pip install 'scratchbird-replication[check]'"
    return z3_engine.missing()


def run(check: Check, context: Context) -> Outcome:
    """Ask cvc5 every question of the theorems that the check names."""
    from scratchbird_proofs.smtlib import questions

    theorems = z3_engine.chosen(check)
    asked = 0
    wrong: list[tuple[str, Path]] = []
    for theorem in theorems:
        context.progress(theorem.id)
        for question in questions(theorem):
            asked += 1
            answer = ask(question.text)
            if answer != question.expected:
                log = context.workdir / f"{check.id}-{len(wrong)}.smt2"
                log.write_text(question.text, encoding="utf-8")
                wrong.append((f"{question.name}: {answer}, not {question.expected}", log))
    figures: dict[str, int | float | str] = {"theorems": len(theorems), "questions": asked}
    if wrong:
        why = "; ".join(text for text, _ in wrong[:3])
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures, log=wrong[0][1])
    detail = f"{len(theorems)} theorems, all {asked} questions answered as Z3 answers them"
    return Outcome(check.id, Verdict.PROVED, detail, check.properties, figures=figures)


def ask(script: str, limit_ms: int = QUESTION_LIMIT_MS) -> str:
    """What cvc5 answers to an SMT-LIB script with one ``check-sat``: ``sat``, ``unsat``, ``unknown (why)``.

    What is no script is answered by the text of the error.
    """
    import cvc5

    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("tlimit-per", str(limit_ms))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, script, "question")
    answer = ""
    try:
        while not (command := parser.nextCommand()).isNull():
            answer += str(command.invoke(solver, parser.getSymbolManager()))
    except RuntimeError as error:
        return f"error: {error}"
    return answer.strip()
