<?php

/*
 * Calls the NetServer services as a program on NuSOAP does. README.md says what it is told and what it prints.
 *
 *     php netserver_nusoap.php LICENSE-WSDL PRINCIPAL-WSDL USER PASSWORD OWNER ASSOCIATE-ID
 */

[, $license_wsdl, $principal_wsdl, $user, $password, $owner, $associate] = $argv;
require __DIR__ . '/nusoap.php';

const NAMESPACE_OF_HEADERS = 'http://www.superoffice.net/ws/crm/NetServer/Services86';

function service(string $wsdl): nusoap_client
{
    $client = new nusoap_client($wsdl, 'wsdl');
    // It is Latin 1 otherwise, both ways.
    $client->soap_defencoding = 'UTF-8';
    $client->decode_utf8 = false;
    return $client;
}

/** NuSOAP hands out texts, and of an answer with one text this text. */
function call(nusoap_client $client, string $operation, array $arguments): array|string
{
    $body = $client->call($operation, $arguments);
    if ($client->fault || $client->getError()) {
        throw new Exception($client->getError() ?: $body['faultstring']);
    }
    return $body;
}

$principal = service($principal_wsdl);
$license = service($license_wsdl);
$sign_in = fn(string $password) =>
    call($principal, 'AuthenticateUsernamePassword', ['UserName' => $user, 'Password' => $password]);
$credentials = fn(string $ticket) => $license->setHeaders(
    '<Credentials xmlns="' . NAMESPACE_OF_HEADERS . "\"><Ticket>$ticket</Ticket></Credentials>");

$login = $sign_in($password);
$ticket = $login['Credentials']['Ticket'];
$credentials($ticket);
$info = call($license, 'GetLicenseFromLicenseServer', ['OwnerName' => $owner])['Response'];
$status = call($license, 'GetLicenseStatusFromLicenseServer', ['OwnerName' => $owner])['Response'];
$assigned = call($license, 'AssignThirdPartyLicenses', [
    'AssociateId' => (int) $associate,
    'ModuleOwner' => $owner,
    // NuSOAP puts the items of the list into the namespace of the request.
    'ModuleLicenseNames' => ['string' => ['SQLBACKUP', 'EXCHANGEBACKUP']],
])['Response'];
$credentials('7T:garbage');
call($license, 'GetLicenseStatusFromLicenseServer', ['OwnerName' => $owner]);
echo json_encode([
    'signed_in' => $login['AuthenticationSucceeded'] === 'true',
    'ticket' => $ticket,
    'wrong_password' => $sign_in("$password?") === 'true',
    'company' => $info['Current']['CompanyName'],
    'expires' => $info['Current']['ExpiryDate'],
    'modules' => array_column($info['Current']['ModuleLicenses']['ModuleLicense'], 'ModuleName'),
    'free' => array_map('intval', array_column($info['ExtendedModuleLicenses']['ExtendedModuleLicense'], 'NumberOfLicensesFree')),
    'status' => $status['LicenseStatus'],
    'assigned' => array_column($assigned['ModuleLicenseLink'], 'Name'),
    'exception' => $license->responseHeader['ExceptionInfo']['ExceptionType'],
], JSON_THROW_ON_ERROR), "\n";
if (getenv('SHOW')) fwrite(STDERR, $sent);
