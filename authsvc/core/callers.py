"""Who asks for a token: one way for each kind of credential, each ending in an actor and their standing.

A refusal is the slow path: it writes an audit row, and what was refused is all the caller learns.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NoReturn

from sqlalchemy import Engine

from authsvc.core import audit, refresh_tokens
from authsvc.core.login import Credentials, Login
from authsvc.core.proofs import Proof
from authsvc.core.standing import Account, Machine, Standing
from authsvc.core.standings import Standings
from authsvc.core.throttle import Throttle
from authsvc.core.usage import Usage
from authsvc.db.engine import retried
from authsvc.domain import machine_secrets, trusts
from authsvc.domain.machine_secrets import Kind
from authsvc.domain.names import canonical_user
from authsvc.domain.permissions import ANONYMOUS, Actor, Credential, Role, pulls_only
from authsvc.errors import Unauthenticated, Unavailable, say
from authsvc.identity.federated import Federation
from authsvc.settings import Settings

WRONG = say("wrong user name or password")
WRONG_ROBOT = say("wrong robot name or secret, or it was changed, disabled or has expired")
WRONG_TOKEN = say("this access token is wrong, was revoked or has expired")
WRONG_REFRESH = say("this login has ended: run docker login again")
DISABLED = say("this account is disabled")
MISSPELT = say("this secret is misspelt or incomplete: copy it again")
NO_PASSWORDS = say("this registry takes no passwords: use a personal access token in place of it")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, for the audit trail."""

    source: str
    request_id: str


@dataclass(frozen=True, slots=True)
class RefreshCredential:
    """A refresh token, for the service that it was made for."""

    secret: str
    service: str

    def __repr__(self) -> str:
        return "RefreshCredential(***)"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who showed who they are, or nobody in particular, and what the database says about them."""

    actor: Actor
    standing: Standing


class Callers:
    """Tells who a request's credentials belong to."""

    def __init__(
        self,
        engine: Engine,
        login: Login,
        standings: Standings,
        throttle: Throttle,
        usage: Usage,
        federation: Federation,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._login = login
        self._standings = standings
        self._throttle = throttle
        self._usage = usage
        self._federation = federation
        self._settings = settings

    def identify(
        self, shown: Credentials | RefreshCredential | None, origin: Origin, projects: Collection[str], now: int
    ) -> Caller:
        """Who asks, and how they stand in these projects.

        Raises:
            Unauthenticated: credentials came and are not good.
            TooMany: there were too many failures.
            Unavailable: the database or an identity source does not answer.
        """
        match shown:
            case None:
                found = self._standings.of_user("", projects, now)
                nobody = replace(ANONYMOUS, limit=found.limit, source=origin.source, request_id=origin.request_id)
                return Caller(nobody, found)
            case RefreshCredential():
                return self._refresh(shown, origin, projects, now)
            case Credentials():
                ways = {Credential.ROBOT: self._robot, Credential.ACCESS_TOKEN: self._access_token}
                return ways.get(self.kind(shown), self._person)(shown, origin, projects, now)

    def kind(self, shown: Credentials | None) -> Credential:
        """What these credentials claim to be, by their form alone."""
        if shown is None:
            return Credential.ANONYMOUS
        if shown.name.startswith(self._settings.robot_prefix):
            return Credential.ROBOT
        is_token = machine_secrets.is_kind(shown.password, Kind.ACCESS_TOKEN)
        return Credential.ACCESS_TOKEN if is_token else Credential.PASSWORD

    def refuse(
        self, name: str, via: Credential, origin: Origin, reason: str, now: int, *, detail: str = ""
    ) -> NoReturn:
        """Write the audit row of a refused login, then refuse.

        Args:
            detail: what the audit row says in place of the reason; the caller does not learn it.

        Raises:
            Unauthenticated: always, with the reason.
        """
        claimed = Actor(name, via, Role.EVERYONE, source=origin.source, request_id=origin.request_id)
        retried(self._engine, lambda session: audit.refused_login(session, claimed, detail or reason, now))
        raise Unauthenticated(reason)

    def person(self, shown: Credentials, origin: Origin, now: int) -> Account:
        """Whose name and password these are, for a session at the site. No secret of a machine is good here.

        Raises:
            Unauthenticated: they are nobody's who may come in; an audit row says why.
            TooMany: there were too many failures.
            Unavailable: the database or an identity source does not answer.
        """
        proof, _, account = self._proven(shown, origin, (), now)
        if proof.is_outdated:
            raise Unavailable(say("your password cannot be checked at this moment; try again soon"))
        if not account.enabled:
            self.refuse(account.name, Credential.PASSWORD, origin, DISABLED, now)
        return account

    def _person(self, shown: Credentials, origin: Origin, projects: Collection[str], now: int) -> Caller:
        proof, found, account = self._proven(shown, origin, projects, now)
        if not self._takes_password_of(account):
            self.refuse(proof.name, Credential.PASSWORD, origin, NO_PASSWORDS, now)
        if proof.is_outdated:
            found = replace(found, limit=pulls_only(found.limit))
        return self._caller(found, account, Credential.PASSWORD, origin, now)

    def _proven(
        self, shown: Credentials, origin: Origin, projects: Collection[str], now: int
    ) -> tuple[Proof, Standing, Account]:
        proof = self._proved(shown, origin, now)
        found = self._standings.of_user(proof.name, projects, now)
        account = _account_of(proof, found)
        if account is None:
            # The password was changed, or the user deleted, since one of the two was remembered: ask once more.
            self._login.forget(shown)
            proof = self._proved(shown, origin, now)
            found = self._standings.of_user(proof.name, projects, now, anew=True)
            account = _account_of(proof, found)
        if account is None:
            self._login.forget(shown)
            self.refuse(proof.name, Credential.PASSWORD, origin, WRONG, now)
        return proof, found, account

    def _proved(self, shown: Credentials, origin: Origin, now: int) -> Proof:
        try:
            proof = self._login.prove(shown, origin.source, now)
        except Unauthenticated as exc:
            self.refuse(canonical_user(shown.name), Credential.PASSWORD, origin, str(exc), now)
        if proof is None:
            self.refuse(canonical_user(shown.name), Credential.PASSWORD, origin, WRONG, now)
        return proof

    def _access_token(self, shown: Credentials, origin: Origin, projects: Collection[str], now: int) -> Caller:
        digest = machine_secrets.digest(shown.password)
        found = self._standings.of_access_token(digest, projects, now)
        name = canonical_user(shown.name)
        if found.account is None or found.account.name != name or _is_over(found.machine, now):
            self._refuse_machine(replace(shown, name=name), Credential.ACCESS_TOKEN, origin, WRONG_TOKEN, now)
        self._usage.used(Kind.ACCESS_TOKEN, found.machine, now)
        return self._caller(found, found.account, Credential.ACCESS_TOKEN, origin, now)

    def _robot(self, shown: Credentials, origin: Origin, projects: Collection[str], now: int) -> Caller:
        name = shown.name.removeprefix(self._settings.robot_prefix)
        if trusts.is_identity_token(shown.password):
            found = self._robot_of_job(name, shown, origin, projects, now)
        else:
            found = self._standings.of_robot(name, machine_secrets.digest(shown.password), projects, now)
            if _barred(found, now) is not None:
                self._refuse_machine(shown, Credential.ROBOT, origin, WRONG_ROBOT, now)
        self._usage.used(Kind.ROBOT, found.machine, now)
        actor = Actor(
            shown.name,
            Credential.ROBOT,
            Role.EVERYONE,
            found.grants,
            found.system_rights,
            limit=found.limit,
            source=origin.source,
            request_id=origin.request_id,
        )
        return Caller(actor, found)

    def _robot_of_job(
        self, name: str, shown: Credentials, origin: Origin, projects: Collection[str], now: int
    ) -> Standing:
        """The robot that an external issuer's identity token lets in. What is granted may outlive it."""
        found = self._standings.of_robot_with_trusts(name, projects, now)
        reason = _barred(found, now) or self._federation.refusal(shown.password, found.trusts, now)
        if reason is not None:
            detail = f"identity token refused: {reason}"
            self._refuse_machine(shown, Credential.ROBOT, origin, WRONG_ROBOT, now, detail=detail)
        return found

    def _refresh(self, shown: RefreshCredential, origin: Origin, projects: Collection[str], now: int) -> Caller:
        found = self._standings.of_refresh_token(machine_secrets.digest(shown.secret), projects, now)
        account, machine, via = found.account, found.machine, Credential.REFRESH_TOKEN
        name = account.name if account else ""
        if account is None or machine is None or machine.revoked or machine.is_over(now):
            if account is not None and machine is not None and machine.revoked:
                self._note_reuse(account, machine, origin, now)
            self._refuse_machine(Credentials(name, shown.secret), via, origin, WRONG_REFRESH, now)
        if not self._settings.token.refresh_tokens or not self._takes_password_of(account):
            self.refuse(name, via, origin, WRONG_REFRESH, now)
        if machine.service != shown.service or machine.version != account.version:
            self.refuse(name, via, origin, WRONG_REFRESH, now)
        self._usage.used(Kind.REFRESH_TOKEN, machine, now)
        return self._caller(found, account, via, origin, now)

    def _takes_password_of(self, account: Account) -> bool:
        """Whether people of this source may use their password, or what came of it, at docker."""
        settings = self._settings.token
        return settings.passwords and account.source not in settings.passwords_refused_from

    def _caller(self, found: Standing, account: Account, via: Credential, origin: Origin, now: int) -> Caller:
        if not account.enabled:
            self.refuse(account.name, via, origin, f"the account {account.name} is disabled", now)
        role = Role.SYSTEM_ADMIN if account.admin else Role.USER
        actor = Actor(
            account.name,
            via,
            role,
            found.grants,
            limit=found.limit,
            source=origin.source,
            request_id=origin.request_id,
        )
        return Caller(actor, found)

    def _refuse_machine(
        self, shown: Credentials, via: Credential, origin: Origin, reason: str, now: int, *, detail: str = ""
    ) -> NoReturn:
        # Only after it failed: these cannot be guessed, so a good one never waits for the counters.
        self._throttle.check(None, origin.source, now)
        secret = shown.password
        self._throttle.failed(None, origin.source, secret, now)
        is_misspelt = secret.startswith(tuple(Kind)) and not machine_secrets.is_well_formed(secret)
        self.refuse(shown.name, via, origin, MISSPELT if is_misspelt else reason, now, detail=detail)

    def _note_reuse(self, account: Account, machine: Machine, origin: Origin, now: int) -> None:
        """With rotation, a token that comes back after its end was copied: what came of it is revoked, too."""
        if not self._settings.token.refresh_rotation:
            return
        thief = Actor(
            account.name,
            Credential.REFRESH_TOKEN,
            Role.EVERYONE,
            source=origin.source,
            request_id=origin.request_id,
        )
        retried(self._engine, lambda session: refresh_tokens.revoke_family(session, thief, machine.family, now))


def _account_of(proof: Proof, found: Standing) -> Account | None:
    """The account, if the proof is of the password that it has now."""
    account = found.account
    return account if account is not None and account.version == proof.version else None


def _barred(robot: Standing, now: int) -> str | None:
    """Why a robot is not let in whatever it shows; None when nothing is against it."""
    if robot.account is None:
        return "there is no such robot"
    if not robot.account.enabled:
        return "the robot is disabled"
    return "the robot has expired" if _is_over(robot.machine, now) else None


def _is_over(machine: Machine | None, now: int) -> bool:
    return machine is None or machine.is_over(now)
